import { FirnError } from '../../../base/errors.ts';

/** A mapping rule that is wrong: says which rule, which field, and what to write instead. */
export function ruleError(rule: string, field: string, why: string, hint?: string): FirnError {
  return new FirnError({
    ...{ code: 'invalid', operation: 'read MQTT mapping rules', subject: rule },
    message: `${rule}: ${field}: ${why}`,
    ...(hint !== undefined && { hint }),
  });
}

/** Where a text of a rule stands, for messages about it. */
export type Fail = (why: string, hint?: string) => FirnError;
