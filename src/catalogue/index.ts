/**
 * The catalogue: what every agent may ever do and which people manage mayfly, as reviewed files under `scopes/`.
 *
 * The files are the policy; there is no other place that grants anything. `loadCatalogue` reads them strictly and
 * either gives the whole catalogue or every reason why not, never a part: a file that nobody could read must not
 * silently grant less (or, with a dangling name, more) than its reviewer saw. A catalogue has a digest; brokers
 * mint only under the one version that Postgres holds. `compareCatalogues` says what a change gives to whom, so
 * that authority widens only where a person has said yes to exactly that.
 */
export { type ArgumentCheck, compileArgumentSchema } from './argument-schema.ts';
export {
  type Action,
  type Agent,
  type Catalogue,
  catalogueFromDocument,
  type DeclaredOperator,
  type Resource,
  type Sensitivity,
  type Zone,
} from './catalogue.ts';
export type { CatalogueChange, CatalogueChangeKind } from './catalogue-change.ts';
export { type CatalogueDocument, CatalogueDocumentError } from './catalogue-document.ts';
export { compareCatalogues } from './compare-catalogues.ts';
export { LIFETIME_CEILING_SECONDS, LINT_RULES, type LintRule, type LintRuleName } from './lint-rules.ts';
export { type LoadedCatalogue, type LoadOptions, loadCatalogue } from './load-catalogue.ts';
export type { Problem } from './problem.ts';
export { ROLES, type Role } from './roles.ts';
