import type { Rejected } from '../rejected.ts';
import type { OtlpSignal } from './receive.ts';

// What OTLP answers: Export...ServiceResponse and google.rpc.Status, as protobuf or JSON.

/** google.rpc.Code, as far as a receiver says it. */
export const rpcCodes = {
  ok: 0,
  invalidArgument: 3,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

const rejectedField: Readonly<Record<OtlpSignal, string>> = {
  logs: 'rejectedLogRecords',
  traces: 'rejectedSpans',
  metrics: 'rejectedDataPoints',
};

export function exportResponse(signal: OtlpSignal, rejected: Rejected, format: 'protobuf' | 'json'): Buffer {
  const { count } = rejected;
  const message = rejected.messages.join('; ');
  if (count === 0 && message === '') return Buffer.from(format === 'json' ? '{}' : '');
  if (format === 'json')
    return Buffer.from(
      JSON.stringify({ partialSuccess: { [rejectedField[signal]]: String(count), errorMessage: message } }),
    );
  return lengthField(1, Buffer.concat([varint(1, count), text(2, message)]));
}

/** A google.rpc.Status; `retryMs` adds a RetryInfo. */
export function rpcStatus(
  code: number,
  message: string,
  format: 'protobuf' | 'json',
  retryMs?: number,
): Buffer {
  if (format === 'json') return Buffer.from(JSON.stringify({ code, message }));
  return Buffer.concat([
    varint(1, code),
    text(2, message),
    ...(retryMs === undefined ? [] : [lengthField(3, retryInfo(retryMs))]),
  ]);
}

/** google.protobuf.Any of a google.rpc.RetryInfo. */
function retryInfo(retryMs: number): Buffer {
  const seconds = Math.floor(retryMs / 1000);
  const delay = Buffer.concat([varint(1, seconds), varint(2, (retryMs - seconds * 1000) * 1_000_000)]);
  return Buffer.concat([
    text(1, 'type.googleapis.com/google.rpc.RetryInfo'),
    lengthField(2, lengthField(1, delay)),
  ]);
}

const text = (field: number, value: string): Buffer =>
  value === '' ? Buffer.alloc(0) : lengthField(field, Buffer.from(value));

const lengthField = (field: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([Uint8Array.of((field << 3) | 2), number(bytes.length), bytes]);

const varint = (field: number, value: number): Buffer =>
  value === 0 ? Buffer.alloc(0) : Buffer.concat([Uint8Array.of(field << 3), number(value)]);

function number(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Uint8Array.from([...bytes, rest]);
}
