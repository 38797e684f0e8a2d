/**
 * From a scopes folder to a catalogue: read, parse, read the declarations, check what they say about each other,
 * lint. Every step reports what it finds and goes on with the rest, so that one run shows everything; a catalogue
 * comes out only when no step found an error.
 */
import { buildCatalogue, type Catalogue } from './catalogue.ts';
import { DOCUMENT_VERSION, parseCatalogueDocument } from './catalogue-document.ts';
import { checkReferences } from './check-references.ts';
import { reportAt, type Section, sectionAt } from './fields.ts';
import { lintScopes } from './lint-scopes.ts';
import { parsePolicyYaml } from './policy-yaml.ts';
import { collectProblems, type Problem, quoted, type Report } from './problem.ts';
import { type AgentDeclaration, readAgent } from './read-agent.ts';
import { type OperatorDeclaration, readOperator } from './read-operator.ts';
import { type ResourceDeclaration, readResource } from './read-resource.ts';
import { readScopesFolder, type ScopesFile } from './read-scopes-folder.ts';
import { readZones, type ZoneDeclaration } from './read-zones.ts';

export type LoadedCatalogue = {
  /** Null exactly when there is an error among the problems. */
  catalogue: Catalogue | null;
  /** All of them at once, ordered by file, line and column. */
  problems: Problem[];
};

export type LoadOptions = {
  /**
   * `false` to read an older version of the files, which today's lint rules need not have judged. Never for
   * authority: what is compared with is not what is granted.
   */
  lint?: boolean;
};

/** @param directory holds `zones.yaml`, `resources/`, `agents/` and, if people manage this mayfly, `operators/` */
export async function loadCatalogue(
  directory: string,
  { lint = true }: LoadOptions = {},
): Promise<LoadedCatalogue> {
  const problems = collectProblems();
  const files = await readScopesFolder(directory, problems.report);
  const filesAreComplete = !problems.hasErrors();
  const scopes = readDeclarations(files, problems.report);
  checkReferences<Section>(scopes, (at, steps, finding, part) => {
    if (!at.source.broken) reportAt(sectionAt(at, ...steps), problems.report, finding, part);
  });
  checkFileNames(scopes, problems.report);
  warnOfEmptyZones(scopes, problems.report);
  if (lint) lintScopes({ ...scopes, filesAreComplete }, problems);
  const catalogue = problems.hasErrors() ? null : catalogueOf(scopes);
  return { catalogue, problems: problems.list() };
}

type Scopes = {
  zones: ZoneDeclaration[];
  resources: ResourceDeclaration[];
  agents: AgentDeclaration[];
  operators: OperatorDeclaration[];
};

function readDeclarations(files: readonly ScopesFile[], report: Report): Scopes {
  const scopes: Scopes = { zones: [], resources: [], agents: [], operators: [] };
  for (const file of files) {
    const source = parsePolicyYaml(file, report);
    // a file with broken syntax still says which names it declares; it has been reported, its shape is not
    const reportShape: Report = source.broken ? () => {} : report;
    if (file.kind === 'zones') scopes.zones.push(...readZones(source, reportShape));
    if (file.kind === 'resource') scopes.resources.push(readResource(source, reportShape));
    if (file.kind === 'agent') scopes.agents.push(readAgent(source, reportShape));
    if (file.kind === 'operator') scopes.operators.push(readOperator(source, reportShape));
  }
  return scopes;
}

/** The hint of a refusal names the client's file, and a development key is called like the file. */
function checkFileNames({ resources, agents, operators }: Scopes, report: Report): void {
  const names = new Set([...agents, ...operators].map(({ name }) => name));
  for (const agent of agents) checkFileName('agent', agent, report);
  for (const operator of operators) checkFileName('operator', operator, report);
  for (const { section } of resources) {
    const name = baseName(section).replace(/\.yaml$/, '');
    if (!names.has(name)) continue;
    reportAt(section, report, {
      rule: 'file-name',
      message: `expected a file called differently from every agent and operator, found ${quoted(name)} for both`,
      fix: 'Rename the file of the resource.',
    });
  }
}

function checkFileName(
  kind: 'agent' | 'operator',
  { name, section }: AgentDeclaration | OperatorDeclaration,
  report: Report,
): void {
  const expected = `${name}.yaml`;
  if (section.source.broken || name === undefined || baseName(section) === expected) return;
  reportAt(sectionAt(section, kind), report, {
    rule: 'file-name',
    message: `expected this ${kind} in a file called ${quoted(expected)}, found ${quoted(baseName(section))}`,
    fix: 'Rename the file.',
  });
}

/** A zone that nobody lives in grants nothing; but somebody believes that it fences something off. */
function warnOfEmptyZones({ zones, resources, agents }: Scopes, report: Report): void {
  const inhabited = new Set([...resources, ...agents].map(({ zone }) => zone));
  for (const { name, section } of zones) {
    if (inhabited.has(name)) continue;
    const message = `expected an agent or a resource in zone ${quoted(name)}, found none`;
    const fix = 'Remove the zone, or move into it what belongs there.';
    reportAt(section, report, { rule: 'zone-empty', message, fix, severity: 'warning' }, 'key');
  }
}

function baseName({ source }: Section): string {
  return source.file.slice(source.file.lastIndexOf('/') + 1);
}

/** The declarations have been proved whole; the document's own check proves it a second time, and gives the types. */
function catalogueOf({ zones, resources, agents, operators }: Scopes): Catalogue {
  const document = parseCatalogueDocument({
    version: DOCUMENT_VERSION,
    zones: zones.map(({ name, title, mayCall }) => ({
      name,
      title,
      mayCall: mayCall.map(({ zone }) => zone),
    })),
    resources: resources.map(resourceEntry),
    agents: agents.map(agentEntry),
    operators: operators.map(operatorEntry),
  });
  return buildCatalogue(
    document,
    new Map(resources.map(({ audience = '', section }) => [audience, section.source.file])),
  );
}

function resourceEntry({ section: _section, developmentPath, ...resource }: ResourceDeclaration) {
  return {
    ...resource,
    ...(developmentPath === undefined ? {} : { developmentPath }),
    keys: resource.keys.map(({ jwk }) => jwk),
    actions: resource.actions.map(
      ({ section: _place, acceptances: _accepted, arguments: schema, aws, ...action }) => ({
        ...action,
        ...(schema === undefined ? {} : { arguments: schema }),
        ...(aws === undefined ? {} : { aws }),
      }),
    ),
  };
}

function agentEntry({ section, acceptances: _accepted, ...agent }: AgentDeclaration) {
  return {
    ...agent,
    keys: agent.keys.map(({ jwk }) => jwk),
    may: agent.may.map(({ action }) => action),
    // In the digest, so under one name wherever the folder lies and whatever it is called there.
    file: `scopes/${section.source.file.slice(section.source.file.indexOf('/') + 1)}`,
  };
}

function operatorEntry({ section: _section, acceptances: _accepted, ...operator }: OperatorDeclaration) {
  return { ...operator, keys: operator.keys.map(({ jwk }) => jwk) };
}
