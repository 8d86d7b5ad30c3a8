import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { deviceStreams } from '../../lake/receive/logs/streams.ts';
import { createLogsBuilder, type LogsBuilder } from '../../lake/receive/logs-builder.ts';
import type { SeriesCache } from '../../lake/receive/series-cache.ts';
import { createFrameReader, trimmed } from '../../lake/receive/syslog/frames.ts';
import { appendSyslog, type SyslogRowOptions } from '../../lake/receive/syslog/rows.ts';

/** Syslog over UDP and TCP. A TCP sender is read on when what it sent is on disk; UDP has no answer, so there what finds no room is counted as lost. */
export interface SyslogServer extends AsyncDisposable {
  readonly udpPort: number;
  readonly tcpPort: number;
  readonly counts: Readonly<SyslogCounts>;
}

interface SyslogCounts {
  messages: number;
  bytes: number;
  /** UDP messages for which there was no room. */
  dropped: number;
  /** Messages of streams that the gateway does not take. */
  refused: number;
  /** Messages of which only the start is kept. */
  cut: number;
}

export interface SyslogOptions extends Omit<SyslogRowOptions, 'streams'> {
  readonly cache: SeriesCache;
  readonly host: string;
  /** 0: free ones. */
  readonly port: number;
  readonly append: (batch: Batch) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called for UDP messages that are lost, with the time of receipt in µs. */
  readonly onDropped: (receivedUs: number, rows: number) => void;
  readonly messageBytesMax: number;
  readonly connectionsMax: number;
  /** UDP messages that wait for the disk. */
  readonly udpQueueBytesMax: number;
}

type OpenOptions = SyslogOptions & SyslogRowOptions;

const retryMinMs = 50;
const retryMaxMs = 2000;

/** Resolves when it listens; throws FirnError `unavailable` naming the port. */
export async function startSyslog(given: SyslogOptions): Promise<SyslogServer> {
  const options = { ...given, streams: deviceStreams(given.cache) };
  const counts: SyslogCounts = { messages: 0, bytes: 0, dropped: 0, refused: 0, cut: 0 };
  const closing = new AbortController();
  const connections = new Set<Promise<void>>();
  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    const served = serveTcp(socket, options, counts, closing.signal).finally(() => {
      sockets.delete(socket);
      connections.delete(served);
    });
    connections.add(served);
  });
  tcp.maxConnections = options.connectionsMax;
  const udp = createSocket(options.host.includes(':') ? 'udp6' : 'udp4');
  await bind(tcp, udp, options);
  tcp.on('error', (error) => options.logger.warn('syslog over TCP', { error: messageOf(error) }));
  const queue = createUdpQueue(options, counts);
  udp.on('message', (bytes, { address }) => queue.take(bytes, address));
  udp.on('error', (error) => options.logger.warn('syslog over UDP', { error: messageOf(error) }));
  return {
    udpPort: udp.address().port,
    tcpPort: (tcp.address() as AddressInfo).port,
    counts,
    [Symbol.asyncDispose]: async () => {
      closing.abort();
      await new Promise<void>((resolve) => udp.close(() => resolve()));
      tcp.close();
      for (const socket of sockets) socket.destroy();
      await Promise.all(connections);
      await queue.flush();
    },
  };
}

async function bind(tcp: Server, udp: UdpSocket, { host, port }: SyslogOptions): Promise<void> {
  try {
    tcp.listen({ host, port });
    await once(tcp, 'listening');
    udp.bind({ address: host, port });
    await once(udp, 'listening');
  } catch (cause) {
    tcp.close();
    throw new FirnError({
      code: 'unavailable',
      operation: 'listen for syslog',
      subject: `${host}:${port}`,
      message: `can't listen for syslog on ${host}:${port}: ${messageOf(cause)}`,
      hint: 'choose another port with syslog.port',
      cause,
    });
  }
}

/** Reads on only when the rows of what was read are on disk: a sender feels how fast the gateway is. */
async function serveTcp(
  socket: Socket,
  options: OpenOptions,
  counts: SyslogCounts,
  closing: AbortSignal,
): Promise<void> {
  const frames = createFrameReader(options.messageBytesMax, () => counts.cut++);
  const sender = socket.remoteAddress ?? '';
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      counts.bytes += chunk.length;
      await storeUntilDone(frames.push(chunk), sender, options, counts, closing);
    }
    await storeUntilDone(frames.end(), sender, options, counts, closing);
  } catch (error) {
    options.logger.debug('syslog connection closed', { sender, error: messageOf(error) });
    socket.destroy();
  }
}

async function storeUntilDone(
  messages: readonly Uint8Array[],
  sender: string,
  options: OpenOptions,
  counts: SyslogCounts,
  closing: AbortSignal,
): Promise<void> {
  const { append, cache, clock, logger } = options;
  const logs = createLogsBuilder();
  const receivedUs = Math.round(clock.nowMs() * 1000);
  for (const message of messages) addRow(message, sender, receivedUs, logs, options, counts);
  if (logs.rows === 0) return;
  const batch = logs.finish();
  for (let waitMs = retryMinMs; ; waitMs = Math.min(waitMs * 2, retryMaxMs)) {
    try {
      await append(batch);
      cache.markDurable(batch.series);
      counts.messages += batch.rows;
      return;
    } catch (error) {
      if (!hasCode(error, 'limit') && !hasCode(error, 'unavailable')) throw error;
      if (waitMs === retryMinMs) logger.warn('syslog messages cannot be stored yet', { error });
      await clock.sleep(waitMs, closing);
    }
  }
}

function addRow(
  message: Uint8Array,
  sender: string,
  receivedUs: number,
  logs: LogsBuilder,
  options: OpenOptions,
  counts: SyslogCounts,
): void {
  try {
    appendSyslog(message, sender, receivedUs, logs, options);
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    counts.refused++;
  }
}

/** Collects datagrams while an append is on its way, up to udpQueueBytesMax. */
function createUdpQueue(options: OpenOptions, counts: SyslogCounts) {
  const { append, cache, clock, messageBytesMax, udpQueueBytesMax, onDropped, logger } = options;
  const logs = createLogsBuilder();
  let bytes = 0;
  let bytesAppending = 0;
  let appending: Promise<void> | undefined;
  const lose = (receivedUs: number, rows: number): void => {
    counts.dropped += rows;
    onDropped(receivedUs, rows);
  };
  const run = async (): Promise<void> => {
    await new Promise(setImmediate); // what is there already goes along
    while (logs.rows > 0) {
      const batch = logs.finish();
      bytesAppending = bytes;
      bytes = 0;
      try {
        await append(batch);
        cache.markDurable(batch.series);
        counts.messages += batch.rows;
      } catch (error) {
        logger.debug('syslog messages are lost', { error: messageOf(error) });
        lose(Math.round(clock.nowMs() * 1000), batch.rows);
      }
      bytesAppending = 0;
    }
    bytes = 0; // of messages that were refused
    appending = undefined;
  };
  return {
    take: (datagram: Uint8Array, sender: string): void => {
      const receivedUs = Math.round(clock.nowMs() * 1000);
      counts.bytes += datagram.length;
      const message = trimmed(datagram);
      if (message.length === 0) return;
      if (bytes + bytesAppending + message.length > udpQueueBytesMax) {
        lose(receivedUs, 1);
        return;
      }
      if (message.length > messageBytesMax) counts.cut++;
      addRow(message.subarray(0, messageBytesMax), sender, receivedUs, logs, options, counts);
      bytes += message.length;
      appending ??= run();
    },
    flush: async (): Promise<void> => {
      await appending;
    },
  };
}
