import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Client } from 'aedes';
import { createTally } from './client-limits.ts';
import type { OnConnection } from './listeners.ts';
import { createPacketGuard } from './packet-guard.ts';

export interface ConnectionLimits {
  readonly connectionsMax: number;
  /** Connections from one address; one more is closed. 0: no limit. */
  readonly connectionsPerAddressMax: number;
  /** A larger packet closes its connection, before it is all there; at least 64 KiB, which may be one read. */
  readonly packetBytesMax: number;
}

/** Connections above connectionsMax that are kept open long enough to be told so. */
const surplusConnections = 16;

/** The connections of all listeners, with their limits and counts. `handle` makes a client of one. */
export function createConnections(
  limits: ConnectionLimits,
  handle: (stream: Duplex, socket: Socket, request?: IncomingMessage) => Client,
) {
  const open = new Map<Duplex, Socket>();
  const addresses = createTally<string>();
  const totals = { packetsReceived: 0, bytesReceived: 0, bytesSent: 0, refusedConnections: 0 };
  const accept: OnConnection = (stream, socket, request) => {
    const address = socket.remoteAddress ?? '';
    const { connectionsPerAddressMax: perAddress, connectionsMax } = limits;
    if (
      open.size >= connectionsMax + surplusConnections ||
      (perAddress > 0 && addresses.of(address) >= perAddress)
    ) {
      totals.refusedConnections++;
      stream.destroy();
      return;
    }
    open.set(stream, socket);
    addresses.add(address);
    stream.once('close', () => {
      open.delete(stream);
      addresses.remove(address);
      totals.bytesReceived += socket.bytesRead;
      totals.bytesSent += socket.bytesWritten;
    });
    stream.on('error', () => undefined); // aedes stops listening when it closes a client
    const client = handle(stream, socket, request);
    // After aedes has set the stream up for reading by hand: `data` then only watches what aedes reads.
    const guard = createPacketGuard(limits.packetBytesMax, () => totals.packetsReceived++);
    stream.on('data', (chunk: Uint8Array) => {
      // aedes tells MQTT 5 clients why, as soon as it knows the length.
      if (!guard(chunk) && !(client.version === 5 && client.connected))
        stream.destroy(new Error('packetBytesMax is exceeded'));
    });
  };
  return {
    accept,
    closeAll: (): void => {
      for (const stream of open.keys()) stream.destroy();
    },
    counts: () => {
      let { bytesReceived, bytesSent } = totals;
      for (const socket of open.values()) {
        bytesReceived += socket.bytesRead;
        bytesSent += socket.bytesWritten;
      }
      return { ...totals, bytesReceived, bytesSent };
    },
  };
}
