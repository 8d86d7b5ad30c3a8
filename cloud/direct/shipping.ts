import type { GatewayShipping } from '../../lake/completeness/completeness.ts';
import { signals } from '../../lake/model/batch.ts';
import { isVirtualGateway } from '../../lake/model/ids.ts';

/**
 * How far gateways have shipped, where no virtual gateway holds rows that are not shipped: those have then come as far as
 * now, and nobody waits for what was never sent.
 */
export function upToNow(gateways: readonly GatewayShipping[], nowUs: number): readonly GatewayShipping[] {
  return gateways.map((each) => {
    if (!isVirtualGateway(each.gateway)) return each;
    const progress = Object.fromEntries(
      signals.flatMap((signal) => {
        const shipped = each.progress[signal];
        if (!shipped) return [];
        const isDone = shipped.pending.length === 0;
        return [[signal, { ...shipped, headUs: nowUs, ...(isDone && { watermarkUs: nowUs }) }]];
      }),
    );
    return { ...each, progress, lastHeardUs: nowUs };
  });
}
