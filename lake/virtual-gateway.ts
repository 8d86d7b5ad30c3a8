import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OtlpReceiver } from './api/receive/otlp-receiver.ts';
import type { Logger } from './base/log.ts';
import type { Receipt } from './model/receipt.ts';
import type { StoreSettings } from './object-store/settings.ts';
import type { SeriesGuard } from './receive/series-guard.ts';

// The port to what receives in the cloud itself: a gateway's receivers, log, sealer and shipper. Cloud and gateway do not
// import each other, so it stands here; who starts the cloud brings one (cli/cloud.ts).

/** Receives for one site of one tenant. What it has answered with success is on disk, and goes the way of what gateways ship. */
export interface VirtualGateway extends AsyncDisposable {
  /** Loki push, InfluxDB and OTLP. */
  readonly app: { fetch(request: Request, env: object): Response | Promise<Response> };
  /** Prometheus remote write. */
  readonly write: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  /** OTLP that came some other way than by HTTP. */
  readonly otlp: OtlpReceiver;
  /** Whether it may hold rows that are not shipped. */
  isWaiting(): boolean;
  /** Seals and ships; true when nothing is left. It is to be given nothing meanwhile. */
  empty(): Promise<boolean>;
}

export interface VirtualGatewayOptions {
  readonly tenant: string;
  readonly site: string;
  /** Its id, unique in the tenant. */
  readonly gateway: string;
  /** Its own folder. */
  readonly dataDir: string;
  readonly store: StoreSettings;
  readonly bodyBytesMax: number;
  /** Reads a receipt of this cloud; throws FirnError `invalid` or `denied` for another. */
  readonly openReceipt: (text: string, key: string) => Promise<Receipt>;
  /** What it may hold on disk; beyond it senders are told to come again. Nothing is dropped. */
  readonly diskBytesMax: number;
  readonly guard: SeriesGuard;
  /** Asked before a body of so many bytes is decoded; throws FirnError `limit` when its sender is to come again later. */
  readonly admit: (bodyBytes: number) => void;
  /** Told how many rows of a request are on disk. */
  readonly onStored: (rows: number) => void;
  /** Its log turned out to be damaged: it is to be closed, and opened again. */
  readonly onDamage: () => void;
  readonly logger: Logger;
}

export type OpenVirtualGateway = (options: VirtualGatewayOptions) => Promise<VirtualGateway>;
