/**
 * Routes of the management API. Nothing but the table says who may call them: what a route's `may` names is what
 * its guard requires, before the route sees the call.
 */
import type { Answer, Call, Route } from '../http/route.ts';
import type { ManagementAction } from './management-actions.ts';
import type { Operator, OperatorGuard } from './operator-guard.ts';

export type ManagedRoute = Pick<Route, 'method' | 'path' | 'body'> & {
  may: ManagementAction;
  answer: (call: Call, operator: Operator) => Answer | Promise<Answer>;
};

export function managedRoutes(guard: OperatorGuard, routes: readonly ManagedRoute[]): Route[] {
  return routes.map(({ answer, may, ...route }) => ({
    ...route,
    may,
    format: 'problem',
    answer: async (call) => answer(call, await guard.require(call, may)),
  }));
}
