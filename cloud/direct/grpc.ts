import { type OtlpGrpcOptions, otlpServices, type RpcCaller } from '../../lake/api/receive/otlp-grpc.ts';
import type { OtlpReceiver } from '../../lake/api/receive/otlp-receiver.ts';
import type { ClientAddress } from '../../lake/base/client-address.ts';
import { FirnError } from '../../lake/base/errors.ts';
import type { OtlpSignal } from '../../lake/receive/otlp/receive.ts';
import type { Access } from '../tenants/access.ts';
import type { Logins } from '../tenants/logins.ts';
import { type Signals, siteOf } from './sender.ts';
import type { VirtualGateways } from './virtual-gateways.ts';

/** What calls may make rows of, as over HTTP. */
const makes: Readonly<Record<OtlpSignal, Signals>> = {
  logs: ['logs', 'events'],
  traces: ['spans'],
  metrics: ['metrics'],
};

/** For tests that try each with every kind of key. */
export const rpcEndpoints: readonly string[] = Object.keys(otlpServices).map((path) => `RPC ${path}`);

/** Takes calls for keys with the scope ingest, which come in the metadata `authorization`. */
export function directReceivers(options: {
  readonly gateways: VirtualGateways;
  /** For what says nothing of its site. */
  readonly site: string;
  readonly logins: Logins;
  readonly clientOf: ClientAddress;
}): OtlpGrpcOptions['receiverFor'] {
  const { gateways, site: otherwise, logins, clientOf } = options;
  return ({ headers, address }: RpcCaller, signal): OtlpReceiver | undefined => {
    const from = clientOf(address, headers['x-forwarded-for']?.toString());
    const access = logins.ofHeader(headers.authorization, from);
    if (access === undefined) return undefined;
    const { tenant, restriction } = access;
    const why = whyNot(access, headers['x-scope-orgid']?.toString());
    if (tenant === undefined || why !== undefined) throw denied(why ?? '');
    const site = siteOf(headers['x-firn-site']?.toString(), restriction, makes[signal], otherwise);
    if (site instanceof FirnError) throw site;
    return (...call) => gateways.use(tenant, site, (gateway) => gateway.otlp(...call));
  };
}

function whyNot({ tenant, scopes }: Access, named: string | undefined): string | undefined {
  if (tenant === undefined) return 'an operator’s key reaches no data; make a key of the tenant';
  if (named !== undefined && named !== tenant)
    return 'X-Scope-OrgID is not the tenant of this key; leave it out';
  return scopes.has('ingest') ? undefined : 'this key has not the scope "ingest"; make one that has';
}

const denied = (message: string): FirnError =>
  new FirnError({ code: 'denied', operation: 'receive', subject: 'key', message });
