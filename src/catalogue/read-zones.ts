/** Reads `zones.yaml`: the segments that agents and resources live in, and who may reach whom. */
import { z } from 'zod';
import {
  type Field,
  invalidValue,
  isMapping,
  readFields,
  readList,
  reportAt,
  type Section,
  sectionAt,
} from './fields.ts';
import { diagnoseWildcard } from './lint-rules.ts';
import { NAME, TITLE } from './names.ts';
import type { PolicySource } from './policy-yaml.ts';
import type { Report } from './problem.ts';

export type ZoneDeclaration = {
  name: string;
  title: string | undefined;
  /** Zones of resources that agents of this zone may reach, each with its place. */
  mayCall: { zone: string; section: Section }[];
  section: Section;
};

const MAX_ZONES = 100;

const list: Field<unknown[]> = {
  schema: z.array(z.unknown()).max(MAX_ZONES),
  expected: `a list of at most ${MAX_ZONES} zones`,
  fix: 'List the zones whose resources this zone may reach, itself included, like [analytics, shared].',
};

const zones: Field<Record<string, unknown>> = {
  schema: z
    .custom<Record<string, unknown>>(isMapping)
    .refine((value) => Object.keys(value).length <= MAX_ZONES),
  expected: `a mapping of at most ${MAX_ZONES} zones`,
  fix: 'Declare each zone as "name: { title: …, may_call: […] }".',
};

export function readZones(source: PolicySource, report: Report): ZoneDeclaration[] {
  const file: Section = { source, path: [], value: source.value };
  const declared = readFields(file, { zones }, report).zones ?? {};
  return Object.keys(declared).map((name) => readZone(name, sectionAt(file, 'zones', name), report));
}

function readZone(name: string, section: Section, report: Report): ZoneDeclaration {
  if (!NAME.schema.safeParse(name).success) {
    reportAt(section, report, invalidValue('zone', NAME, name), 'key');
  }
  const { title } = readFields(section, { title: TITLE, may_call: list }, report);
  const reach = sectionAt(section, 'may_call');
  const mayCall = readList(reach, { ...NAME, diagnose: diagnoseWildcard }, report);
  return {
    name,
    title,
    mayCall: mayCall.map(({ value, index }) => ({ zone: value, section: sectionAt(reach, index) })),
    section,
  };
}
