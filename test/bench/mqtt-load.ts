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

/** Publishes everything; resolves with the seconds from the first byte to the last PUBACK. */
export async function runMqttLoad(load: MqttLoad): Promise<number> {
  const sockets = await Promise.all(
    Array.from({ length: load.connections }, (_, index) => open(load.port, index)),
  );
  const start = performance.now();
  await Promise.all(sockets.map((socket, index) => publishAll(socket, load, index)));
  const seconds = (performance.now() - start) / 1000;
  for (const socket of sockets) socket.destroy();
  return seconds;
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

function publishAll(socket: Socket, load: MqttLoad, connection: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const topic = text(Buffer.from(`bench/line${connection}/temperature`));
  let sent = 0;
  let acked = 0;
  let partial = 0;
  const fill = (): void => {
    const packets: Buffer[] = [];
    for (; sent < load.messagesPerConnection && sent - acked < load.windowSize; sent++) {
      packets.push(publish(topic, (sent % 65535) + 1, load.payload(connection, sent)));
    }
    if (packets.length > 0) socket.write(Buffer.concat(packets));
  };
  socket.on('data', (bytes) => {
    partial += bytes.length;
    acked += Math.floor(partial / 4);
    partial %= 4;
    if (acked >= load.messagesPerConnection) resolve();
    else if (sent - acked <= load.windowSize / 2) fill();
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error(`the broker closed the connection after ${acked} PUBACKs`)));
  fill();
  return promise;
}

function publish(topic: Buffer, id: number, payload: string): Buffer {
  const body = Buffer.concat([topic, Buffer.from([id >> 8, id & 255]), Buffer.from(payload)]);
  const length =
    body.length < 128 ? [body.length] : [(body.length % 128) | 128, Math.floor(body.length / 128)];
  return Buffer.concat([Buffer.from([0x32, ...length]), body]);
}
