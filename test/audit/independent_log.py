#!/usr/bin/env python3
"""Checks a pack of the audit log a second time, written from the standards and not from mayfly's code.

Python's standard library only. It has SHA-256 and no Ed25519: leaf hashes, roots, inclusion proofs and consistency
proofs are computed here (RFC 6962 section 2.1, RFC 9162 section 2.1.3), signatures are NOT verified. So it answers
"do these entries belong to this checkpoint", and never "did the log sign this checkpoint".

    independent_log.py < pack

Prints one JSON object and exits with 0, or with 1 and the first bad entry named.
"""

import base64
import hashlib
import json
import sys


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(data):
    return sha256(b"\x00" + data)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def root_of(leaves):
    """MTH of RFC 6962 section 2.1, as it is defined: by recursion."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(root_of(leaves[:middle]), root_of(leaves[middle:]))


def root_from_inclusion(index, size, leaf, proof):
    """The root that a proof leads to, by walking down to the leaf as RFC 6962 section 2.1.1 builds the path."""
    if size == 1:
        if proof:
            raise ValueError("a hash too many")
        return leaf
    if not proof:
        raise ValueError("a hash too few")
    middle = 1 << (size - 1).bit_length() - 1
    if index < middle:
        return node_hash(root_from_inclusion(index, middle, leaf, proof[:-1]), proof[-1])
    return node_hash(proof[-1], root_from_inclusion(index - middle, size - middle, leaf, proof[:-1]))


def roots_from_consistency(first, second, proof, first_root, is_whole=True):
    """Both roots that a proof leads to: SUBPROOF of RFC 6962 section 2.1.2, backwards."""
    if first == second:
        if is_whole:
            if proof:
                raise ValueError("a hash too many")
            return first_root, first_root
        if len(proof) != 1:
            raise ValueError("one hash was expected")
        return proof[0], proof[0]
    if not proof:
        raise ValueError("a hash too few")
    middle = 1 << (second - 1).bit_length() - 1
    rest, last = proof[:-1], proof[-1]
    if first <= middle:
        old, new = roots_from_consistency(first, middle, rest, first_root, is_whole)
        return old, node_hash(new, last)
    old, new = roots_from_consistency(first - middle, second - middle, rest, first_root, False)
    return node_hash(last, old), node_hash(last, new)


def hash_of(text):
    data = base64.b64decode(text, validate=True)
    if len(data) != 32:
        raise ValueError("a hash has 32 bytes")
    return data


def tree_in(note):
    """Size and root in the text of a checkpoint or a hand-over."""
    lines = note.split("\n")
    size, root = (lines[2], lines[3]) if lines[1] == "hand-over" else (lines[1], lines[2])
    return int(size), hash_of(root)


def check_header(header):
    size, root = tree_in(header["checkpoint"])
    for hand_over in header["hand_overs"]:
        old_size, old_root = tree_in(hand_over["note"])
        check_consistency(old_size, old_root, size, root, [hash_of(text) for text in hand_over["consistency"]])
    if not 0 <= header["from"] <= header["to"] <= size:
        raise ValueError("the checkpoint does not cover these entries")
    return size, root


def check_consistency(old_size, old_root, size, root, proof):
    if old_size == 0:
        if proof or old_root != sha256(b""):
            raise ValueError("from nothing there is no proof")
        return
    if old_size > size or roots_from_consistency(old_size, size, proof, old_root) != (old_root, root):
        raise ValueError("the checkpoint does not continue the tree of %d entries" % old_size)


def check_entry(entry, index, size, root):
    if entry["index"] != index:
        raise ValueError("the line is of entry %r" % entry["index"])
    document = entry["document"]
    leaf = hash_of(entry["leaf"]) if document is None else leaf_hash(document.encode("utf-8"))
    if root_from_inclusion(index, size, leaf, [hash_of(text) for text in entry["proof"]]) != root:
        raise ValueError("the tree does not hold it in this place")
    return leaf


def check_whole(header, leaves, size, root):
    """With every entry at hand the root is computed without any proof, and so is that of an earlier tree."""
    if header["from"] != 0 or header["to"] != size:
        return False
    if root_of(leaves) != root:
        raise ValueError("the entries have another root")
    consistency = header.get("consistency")
    if consistency is not None:
        earlier = consistency["from"]
        proof = [hash_of(text) for text in consistency["proof"]]
        check_consistency(earlier, root_of(leaves[:earlier]), size, root, proof)
    return True


def check_pack(lines):
    header = json.loads(lines[0])
    size, root = check_header(header)
    leaves, index = [], header["from"]
    for line in lines[1:]:
        if index == header["to"]:
            return {"ok": False, "index": index, "why": "beyond the end"}
        try:
            leaves.append(check_entry(json.loads(line), index, size, root))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return {"ok": False, "index": index, "why": str(error)}
        index += 1
    if index < header["to"]:
        return {"ok": False, "index": index, "why": "missing"}
    is_whole = check_whole(header, leaves, size, root)
    return {
        "ok": True,
        "entries": len(leaves),
        "size": size,
        "root": base64.b64encode(root).decode("ascii"),
        "root_recomputed": is_whole,
        "signatures_verified": False,
    }


def main():
    lines = sys.stdin.buffer.read().decode("ascii").split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    try:
        verdict = check_pack(lines)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        verdict = {"ok": False, "index": None, "why": str(error)}
    print(json.dumps(verdict))
    return 0 if verdict["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
