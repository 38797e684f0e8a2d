/**
 * fast-check, as tests have it: every day the same examples, so that a change is red for what it changed and for
 * nothing else. `npm run soak` takes others each time; what it finds says the seed with which it is found again.
 */
import fc from 'fast-check';
import { soakFactor } from './soak.ts';

const EVERYDAY_SEED = 20_261_123;

if (soakFactor() === 1) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: EVERYDAY_SEED });

export { default as fc } from 'fast-check';
