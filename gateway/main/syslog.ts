import type { Logger } from '../../lake/base/log.ts';
import type { Gap } from '../../lake/model/gap.ts';
import type { SeriesCache } from '../../lake/receive/series-cache.ts';
import type { GatewayClock } from '../clock/gateway-clock.ts';
import type { GatewayConfig } from '../config.ts';
import { startSyslog } from '../receive/syslog.ts';
import type { HttpReceivers } from './receivers.ts';
import type { Storage } from './storage.ts';

/** Syslog, where `syslog.listen` says so. Returns its ports beside its counts. */
export async function openSyslog(
  { syslog, mqtt, listen }: GatewayConfig,
  { clock, ownTime }: GatewayClock,
  logger: Logger,
  { disk: { append }, gaps }: Storage,
  cache: SeriesCache,
  stack: AsyncDisposableStack,
): Promise<
  Pick<HttpReceivers, 'counters' | 'receivedBytes'> & { readonly ports: Readonly<Record<string, number>> }
> {
  if (!syslog.listen) return { counters: () => ({}), receivedBytes: () => 0, ports: {} };
  const server = stack.use(
    await startSyslog({
      ...{ ...syslog, host: listen.host, append, cache, clock, ownTime },
      futureMsMax: mqtt.futureMsMax,
      logger: logger.with({ part: 'syslog' }),
      onDropped: (receivedUs, rows) => gaps.record(droppedGap(receivedUs, rows)),
    }),
  );
  return {
    ports: { syslogUdp: server.udpPort, syslogTcp: server.tcpPort },
    counters: () => ({
      syslog_messages_total: server.counts.messages,
      syslog_dropped_messages_total: server.counts.dropped,
      syslog_refused_messages_total: server.counts.refused,
      syslog_cut_messages_total: server.counts.cut,
    }),
    receivedBytes: () => server.counts.bytes,
  };
}

const droppedGap = (receivedUs: number, rows: number): Gap => ({
  ...{ signal: 'logs', class: 'logs', kind: 'gap', reason: 'syslog-dropped', rows },
  ...{ fromUs: receivedUs, toUs: receivedUs, detail: 'syslog messages over UDP for which there was no room' },
});
