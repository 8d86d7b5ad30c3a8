import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

// A load generator for MQTT 3.1.1 QoS 1 that writes packets by hand, so that the broker is what is measured and not a
// client library. Each connection keeps a window of messages in flight.

export interface MqttLoad {
  readonly port: number;
  readonly connections: number;
  readonly messagesPerConnection: number;
  readonly windowSize: number;
  payload(connection: number, index: number): string;
}

export interface MqttLoadResult {
  /** From the first byte to the last PUBACK. */
  readonly seconds: number;
  /** From writing a message to its PUBACK, of 99 % of them. */
  readonly acknowledgedMs: number;
}

/** Publishes everything. */
export async function runMqttLoad(load: MqttLoad): Promise<MqttLoadResult> {
  const sockets = await Promise.all(
    Array.from({ length: load.connections }, (_, index) => open(load.port, index)),
  );
  const latenciesMs: number[] = [];
  const start = performance.now();
  await Promise.all(sockets.map((socket, index) => publishAll(socket, load, index, latenciesMs)));
  const seconds = (performance.now() - start) / 1000;
  for (const socket of sockets) socket.destroy();
  const acknowledgedMs =
    Float64Array.from(latenciesMs).sort()[Math.floor(latenciesMs.length * 0.99)] ?? Number.NaN;
  return { seconds, acknowledgedMs };
}

async function open(port: number, index: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const clientId = Buffer.from(`bench-${process.pid}-${index}`);
  const body = Buffer.concat([Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0]), text(clientId)]);
  socket.write(Buffer.concat([Buffer.from([0x10, body.length]), body]));
  const [connack] = (await once(socket, 'data')) as [Buffer];
  if (connack[0] !== 0x20 || connack[3] !== 0) throw new Error(`CONNACK ${connack.toString('hex')}`);
  return socket;
}

const text = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);

/** Publishes in windows; each message is acknowledged in its turn, or the load has failed. */
function publishAll(
  socket: Socket,
  { messagesPerConnection, windowSize, payload }: MqttLoad,
  connection: number,
  latenciesMs: number[],
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const topic = text(Buffer.from(`bench/line${connection}/temperature`));
  const sentMs = new Float64Array(windowSize);
  let sent = 0;
  let acked = 0;
  let rest = Buffer.alloc(0);
  const fill = (): void => {
    const count = Math.min(messagesPerConnection - sent, windowSize - (sent - acked));
    const packets = Buffer.allocUnsafe(count * (topic.length + payloadBytesMax + 8));
    let end = 0;
    const nowMs = performance.now();
    for (let n = 0; n < count; n++, sent++) {
      sentMs[sent % windowSize] = nowMs;
      end = putPublish(packets, end, topic, idOf(sent), payload(connection, sent));
    }
    if (count > 0) socket.write(packets.subarray(0, end));
  };
  socket.on('data', (bytes) => {
    const all = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    const nowMs = performance.now();
    let at = 0;
    for (; at + 4 <= all.length; at += 4, acked++) {
      if (all.readUInt16BE(at) !== 0x4002 || all.readUInt16BE(at + 2) !== idOf(acked))
        reject(new Error(`not PUBACK ${idOf(acked)}: ${all.toString('hex', at, at + 4)}`));
      latenciesMs.push(nowMs - (sentMs[acked % windowSize] ?? 0));
    }
    rest = all.subarray(at);
    if (acked >= messagesPerConnection) resolve();
    else if (sent - acked <= windowSize / 2) fill();
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error(`the broker closed the connection after ${acked} PUBACKs`)));
  fill();
  return promise;
}

const payloadBytesMax = 200;
const idOf = (message: number): number => (message % 65_535) + 1;

/** Returns where it ends. */
function putPublish(to: Buffer, start: number, topic: Buffer, id: number, payload: string): number {
  const length = topic.length + 2 + payload.length;
  let at = to.writeUInt8(0x32, start);
  if (length >= 128) at = to.writeUInt8((length % 128) | 128, at);
  at = to.writeUInt8(length < 128 ? length : Math.floor(length / 128), at);
  at += topic.copy(to, at);
  at = to.writeUInt16BE(id, at);
  return at + to.write(payload, at, 'latin1');
}
