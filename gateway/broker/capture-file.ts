import { FirnError } from '../../lake/base/errors.ts';
import { timestampUsOf } from '../../lake/receive/mqtt/timestamp.ts';

/** A line of a capture, as `mosquitto_sub -F %j` prints it; `-F %J` too, whose payload is JSON and not text of it. */
export interface CapturedMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
  /** When it was received; undefined: not told. */
  readonly receivedUs: number | undefined;
}

/** `payload` is text or JSON, `payloadBase64` bytes. Throws FirnError `invalid` that names the line. */
export function parseCaptureLine(text: string, line: number): CapturedMessage {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw wrongLine(line, 'is not JSON');
  }
  if (typeof json !== 'object' || json === null) throw wrongLine(line, 'is no JSON object');
  const { topic, payload, payloadBase64, retain, tst } = json as Readonly<Record<string, unknown>>;
  if (typeof topic !== 'string' || topic === '') throw wrongLine(line, 'has no topic');
  const bytes =
    typeof payloadBase64 === 'string'
      ? Buffer.from(payloadBase64, 'base64')
      : Buffer.from(
          typeof payload === 'string' ? payload : payload === undefined ? '' : JSON.stringify(payload),
        );
  return { topic, payload: bytes, retain: Boolean(retain), receivedUs: timestampUsOf(tst) };
}

const wrongLine = (line: number, why: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'read MQTT capture', subject: `line ${line}` },
    message: `line ${line} ${why}`,
    hint: "record one with: firn mqtt capture --broker URL --seconds 60, or mosquitto_sub -t '#' -F %j",
  });
