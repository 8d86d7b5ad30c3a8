import { compress } from 'snappyjs';
import { lengthField } from '../remote-write/encode.fixture.ts';

// Push requests as Promtail, Alloy and Vector send them, for tests.

export interface PushStream {
  /** Such as {app="press"}. */
  readonly labels: string;
  readonly entries: readonly (readonly [
    ns: bigint,
    line: string,
    metadata?: Readonly<Record<string, string>>,
  ])[];
}

function varintField(field: number, value: bigint): Uint8Array {
  const bytes = [field << 3];
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    const byte = Number(rest & 127n);
    if (rest < 128n) return Uint8Array.from([...bytes, byte]);
    bytes.push(byte | 128);
  }
}

const text = (field: number, value: string): Uint8Array => lengthField(field, Buffer.from(value));

export function encodePush(streams: readonly PushStream[]): Uint8Array {
  return Buffer.concat(
    streams.map(({ labels, entries }) =>
      lengthField(
        1,
        Buffer.concat([
          text(1, labels),
          ...entries.map(([ns, line, metadata = {}]) => {
            const seconds =
              (ns - (((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)) / 1_000_000_000n;
            const time = [varintField(1, seconds), varintField(2, ns - seconds * 1_000_000_000n)];
            const pairs = Object.entries(metadata).map(([name, value]) =>
              lengthField(3, Buffer.concat([text(1, name), text(2, value)])),
            );
            return lengthField(
              2,
              Buffer.concat([lengthField(1, Buffer.concat(time)), text(2, line), ...pairs]),
            );
          }),
        ]),
      ),
    ),
  );
}

export const pushBody = (streams: readonly PushStream[]): Uint8Array => compress(encodePush(streams));
