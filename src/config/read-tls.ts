/** The files of TLS, read and tried: what a listener could not use is found here, before anything starts. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { SettingReader } from './setting-reader.ts';

/** All PEM. */
export type TlsFiles = { certificate: string; privateKey: string; clientAuthorities: string | undefined };

export function readTls(read: SettingReader): TlsFiles | undefined {
  const paths = {
    certificate: read.text('MAYFLY_TLS_CERT'),
    privateKey: read.text('MAYFLY_TLS_KEY'),
    clientAuthorities: read.text('MAYFLY_TLS_CLIENT_CA'),
  };
  if (paths.certificate === undefined || paths.privateKey === undefined) {
    if (paths.certificate ?? paths.privateKey ?? paths.clientAuthorities) {
      read.refuse('MAYFLY_TLS_CERT and MAYFLY_TLS_KEY belong together, MAYFLY_TLS_CLIENT_CA to both');
    }
    return undefined;
  }
  const files = {
    certificate: read.file('MAYFLY_TLS_CERT', paths.certificate),
    privateKey: read.file('MAYFLY_TLS_KEY', paths.privateKey),
    clientAuthorities:
      paths.clientAuthorities === undefined
        ? undefined
        : read.file('MAYFLY_TLS_CLIENT_CA', paths.clientAuthorities),
  };
  tryTls(read, files);
  return { ...files, certificate: files.certificate ?? '', privateKey: files.privateKey ?? '' };
}

type ReadFiles = { [name in keyof TlsFiles]: string | undefined };

/** Says nothing of a file that could not be read: that is said already. */
function tryTls(read: SettingReader, { certificate, privateKey, clientAuthorities }: ReadFiles): void {
  const chain = attempt(certificate, (pem) => new X509Certificate(pem));
  const key = attempt(privateKey, createPrivateKey);
  const authorities = attempt(clientAuthorities, (pem) => new X509Certificate(pem));
  if (chain === null) read.refuse('MAYFLY_TLS_CERT has no PEM certificate in it');
  if (key === null)
    read.refuse('MAYFLY_TLS_KEY has no PEM private key in it that can be used without a passphrase');
  if (authorities === null) read.refuse('MAYFLY_TLS_CLIENT_CA has no PEM certificate in it');
  if (!chain || !key || authorities === null) return;
  if (!chain.checkPrivateKey(key)) {
    read.refuse('MAYFLY_TLS_KEY is not the key of the first certificate in MAYFLY_TLS_CERT');
  } else if (attempt('', () => contextOf({ certificate, privateKey, clientAuthorities })) === null) {
    read.refuse(
      'MAYFLY_TLS_CERT, MAYFLY_TLS_KEY and MAYFLY_TLS_CLIENT_CA are not accepted together by TLS 1.3',
    );
  }
}

function contextOf({ certificate, privateKey, clientAuthorities }: ReadFiles): SecureContext {
  return createSecureContext({
    cert: certificate,
    key: privateKey,
    ca: clientAuthorities,
    minVersion: 'TLSv1.3',
  });
}

/** @returns null when it cannot be parsed, undefined when there is nothing to parse */
function attempt<T>(pem: string | undefined, parse: (pem: string) => T): T | null | undefined {
  if (pem === undefined) return undefined;
  try {
    return parse(pem);
  } catch {
    return null;
  }
}
