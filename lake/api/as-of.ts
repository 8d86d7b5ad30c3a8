import type { Context } from 'hono';
import { FirnError } from '../base/errors.ts';
import type { AsOf } from '../tables.ts';

/**
 * The parameter `as_of` of a request: a time (RFC 3339, or seconds since the Unix epoch), `snapshot:<id>` or
 * `tag:<name>`. Undefined when it is absent. Throws FirnError `invalid`.
 */
export function asOfOf(c: Context): AsOf | undefined {
  const text = c.req.query('as_of') ?? '';
  return text === '' ? undefined : parseAsOf(text);
}

function parseAsOf(text: string): AsOf {
  const [, kind, value = ''] = /^(snapshot|tag):(.+)$/.exec(text) ?? [];
  if (kind === 'tag') return { kind, name: value };
  if (kind === 'snapshot' && /^\d{1,19}$/.test(value)) return { kind, id: BigInt(value) };
  const ms = /^\d+(\.\d+)?$/.test(text)
    ? Number(text) * 1000
    : /^\d{4}-\d\d-\d\dT/.test(text)
      ? Date.parse(text)
      : Number.NaN;
  if (Number.isFinite(ms)) return { kind: 'time', us: Math.floor(ms * 1000) };
  throw new FirnError({
    code: 'invalid',
    operation: 'read parameter',
    subject: 'as_of',
    message: `as_of ${JSON.stringify(text)} is no state of a table`,
    hint: 'give a time (2026-01-31T12:00:00Z, or Unix seconds), snapshot:ID or tag:NAME',
  });
}
