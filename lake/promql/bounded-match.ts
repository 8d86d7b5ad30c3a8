import { createContext, Script } from 'node:vm';
import { executionError } from './errors.ts';

const script = new Script('values.map((value) => regexp.exec(value))');
const context = createContext({});

/** What matching the values of one regular expression may take in all. */
const regexpMsMax = 500;

/**
 * `regexp.exec` of every value. RE2 takes linear time; JavaScript's engine backtracks, and an expression like (a+)+b
 * over the right value would hold the process for ever. Throws PromqlError `execution` when regexpMsMax is met.
 */
export function execAll(regexp: RegExp, values: readonly string[]): readonly (RegExpExecArray | null)[] {
  Object.assign(context, { regexp, values });
  try {
    return script.runInContext(context, { timeout: regexpMsMax });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw cause;
    throw executionError(
      `regular expression ${regexp.source} takes longer than regexpMsMax = ${regexpMsMax}`,
    );
  } finally {
    Object.assign(context, { regexp: undefined, values: undefined });
  }
}
