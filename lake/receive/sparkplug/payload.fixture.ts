import * as sparkplugPayload from 'sparkplug-payload';
import type { UPayload } from 'sparkplug-payload/lib/sparkplugbpayload.js';

export type { UPayload };

/** Eclipse Tahu's encoder. */
export function get() {
  const codec = sparkplugPayload.get('spBv1.0');
  if (codec === null) throw new Error('sparkplug-payload knows no spBv1.0');
  return codec;
}
