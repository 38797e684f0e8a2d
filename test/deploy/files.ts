import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** @param path from the root of the repository */
export function textOf(path: string): string {
  return readFileSync(`${ROOT}${path}`, 'utf8');
}

export type ComposeService = {
  image: string;
  build?: string;
  user?: string;
  command?: string[];
  environment?: Record<string, string>;
  env_file?: string;
  secrets?: string[];
  volumes?: string[];
  tmpfs?: string[];
  ports?: string[];
  networks: string[] | Record<string, { ipv4_address?: string } | null>;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test?: string[]; disable?: boolean };
  cap_drop?: string[];
  cap_add?: string[];
  security_opt?: string[];
  read_only?: boolean;
  privileged?: boolean;
  pids_limit?: number;
  mem_limit?: string;
  restart?: string;
  stop_grace_period?: string;
  network_mode?: string;
};

export type Compose = {
  services: Record<string, ComposeService>;
  networks: Record<string, { internal?: boolean; ipam?: { config: { subnet: string }[] } }>;
  volumes: Record<string, object>;
  secrets: Record<string, { file: string }>;
};

/** `docker-compose.yml` with its anchors and merges resolved, as Compose reads it. */
export function readCompose(): Compose {
  return parse(textOf('docker-compose.yml'), { merge: true });
}

export function networksOf({ networks }: ComposeService): string[] {
  return Array.isArray(networks) ? networks : Object.keys(networks);
}
