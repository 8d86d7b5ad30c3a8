import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createTally } from './client-limits.ts';
import type { OnConnection } from './listeners.ts';

export interface ConnectionLimits {
  readonly connectionsMax: number;
  /** Connections from one address; one more is closed. 0: no limit. */
  readonly connectionsPerAddressMax: number;
}

/** Connections above connectionsMax that are kept open long enough to be told so. */
const surplusConnections = 16;

/** Makes a client of a connection; calls `onPacket` for each packet that it receives. */
type Handle = (
  stream: Duplex,
  socket: Socket,
  request: IncomingMessage | undefined,
  onPacket: () => void,
) => void;

/** The connections of all listeners, with their limits and counts. */
export function createConnections(limits: ConnectionLimits, handle: Handle) {
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
    handle(stream, socket, request, () => totals.packetsReceived++);
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
