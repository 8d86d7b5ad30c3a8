import { FirnError } from '../../base/errors.ts';
import type { LokiPushLimits } from './limits.ts';

export function invalid(message: string): FirnError {
  return new FirnError({ code: 'invalid', operation: 'decode loki push', subject: 'body', message });
}

export function limit(subject: keyof LokiPushLimits, message: string): FirnError {
  return new FirnError({ code: 'limit', operation: 'decode loki push', subject, message });
}
