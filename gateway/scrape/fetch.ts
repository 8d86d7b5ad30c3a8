import { readFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps, Agent as TlsAgent } from 'node:https';
import type { SecureVersion } from 'node:tls';
import { createGunzip } from 'node:zlib';
import { FirnError } from '../../lake/base/errors.ts';
import type { ExpositionFormat } from '../../lake/receive/exposition/cursor.ts';
import type { ScrapeConfig } from './config-file.ts';
import { inFolder } from './file-discovery.ts';
import type { Target } from './targets.ts';
import type { Turns } from './turns.ts';

interface Fetched {
  readonly body: Buffer;
  readonly format: ExpositionFormat;
}

/** Gets expositions for the targets of one job. */
export interface Fetcher extends Disposable {
  /** Throws an Error that says what is wrong with the target. */
  fetch(target: Target, signal: AbortSignal): Promise<Fetched>;
}

const redirectsMax = 10;

/** `bodyBytesMax`: of a body after decompression, where the job has no smaller `body_size_limit`. */
export function createFetcher(
  config: ScrapeConfig,
  folder: string,
  bodyBytesMax: number,
  turns: Turns,
): Fetcher {
  const http = new Agent({ keepAlive: true });
  let https: { readonly version: string; readonly agent: TlsAgent } | undefined;
  /** Certificates are replaced while the gateway runs. */
  const tlsAgent = (): TlsAgent => {
    const options = tlsOptions(config, folder);
    const version = JSON.stringify(options);
    if (https?.version !== version) {
      https?.agent.destroy();
      https = { version, agent: new TlsAgent({ ...options, keepAlive: true }) };
    }
    return https.agent;
  };
  const limit = config.body_size_limit === 0 ? bodyBytesMax : Math.min(config.body_size_limit, bodyBytesMax);
  const fetchNow: Fetcher['fetch'] = async (target, signal) => {
    let url = new URL(target.url);
    const headers: Record<string, string> = {
      ...headersOf(config, target.timeoutMs),
      ...credentials(config, folder),
    };
    for (let redirects = 0; ; redirects++) {
      const secure = url.protocol === 'https:';
      const agent = secure ? tlsAgent() : http;
      const response = await get(secure ? requestHttps : requestHttp, url, { agent, headers, signal });
      const next = config.follow_redirects ? redirectOf(response, url) : undefined;
      if (next === undefined) return readResponse(response, config, limit);
      response.resume();
      if (redirects === redirectsMax) throw new Error(`it redirects more than ${redirectsMax} times`);
      if (next.host !== url.host) delete headers.authorization;
      url = next;
    }
  };
  return {
    fetch: (target, signal) => turns(() => fetchNow(target, signal), signal),
    [Symbol.dispose]: () => {
      http.destroy();
      https?.agent.destroy();
    },
  };
}

function get(
  send: typeof requestHttp,
  url: URL,
  options: { readonly agent: Agent; readonly headers: Record<string, string>; readonly signal: AbortSignal },
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    send(url, options, resolve).on('error', reject).end();
  });
}

function redirectOf(response: IncomingMessage, from: URL): URL | undefined {
  const { location } = response.headers;
  if (location === undefined || ![301, 302, 303, 307, 308].includes(response.statusCode ?? 0))
    return undefined;
  const to = new URL(location, from);
  if (to.protocol !== 'http:' && to.protocol !== 'https:') throw new Error(`it redirects to ${to.protocol}`);
  return to;
}

async function readResponse(
  response: IncomingMessage,
  config: ScrapeConfig,
  bytesMax: number,
): Promise<Fetched> {
  if (response.statusCode !== 200) {
    response.resume();
    throw new Error(
      `server returned HTTP status ${response.statusCode} ${response.statusMessage ?? ''}`.trim(),
    );
  }
  const encoding = response.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'gzip' && encoding !== 'identity') {
    response.destroy();
    throw new Error(`it answers in content encoding ${encoding}, which was not asked for`);
  }
  const stream = encoding === 'gzip' ? response.pipe(createGunzip()) : response;
  // An error of the connection does not go along a pipe.
  if (stream !== response) response.on('error', (error) => stream.destroy(error));
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) {
      response.destroy();
      throw tooLarge(bytesMax);
    }
    chunks.push(chunk);
  }
  return { body: Buffer.concat(chunks, bytes), format: formatOf(response.headers['content-type'], config) };
}

const tooLarge = (bytesMax: number): FirnError =>
  new FirnError({
    code: 'limit',
    operation: 'scrape',
    subject: 'body_size_limit',
    message: `the body has more than ${bytesMax} bytes (body_size_limit, scrape.bodyBytesMax)`,
  });

/** What is neither is read as text: small devices say text/html, or nothing at all. */
function formatOf(contentType: string | undefined, config: ScrapeConfig): ExpositionFormat {
  const media = contentType?.split(';')[0]?.trim().toLowerCase();
  if (media === 'application/openmetrics-text') return 'openmetrics';
  if (media === 'text/plain') return 'text';
  return config.fallback_scrape_protocol?.startsWith('OpenMetrics') ? 'openmetrics' : 'text';
}

const mediaTypes = {
  'OpenMetricsText1.0.0': 'application/openmetrics-text;version=1.0.0',
  'OpenMetricsText0.0.1': 'application/openmetrics-text;version=0.0.1',
  'PrometheusText0.0.4': 'text/plain;version=0.0.4',
  'PrometheusText1.0.0': 'text/plain;version=1.0.0;escaping=allow-utf-8',
} as const;
const protocolsDefault = ['OpenMetricsText1.0.0', 'OpenMetricsText0.0.1', 'PrometheusText0.0.4'] as const;

function headersOf(config: ScrapeConfig, timeoutMs: number): Record<string, string> {
  const protocols = config.scrape_protocols ?? protocolsDefault;
  const accept = protocols.map((protocol, index) => `${mediaTypes[protocol]};q=0.${9 - index}`);
  return {
    accept: [...accept, '*/*;q=0.1'].join(','),
    'accept-encoding': config.enable_compression ? 'gzip' : 'identity',
    'user-agent': 'Firn',
    'x-prometheus-scrape-timeout-seconds': String(timeoutMs / 1000),
  };
}

/** Files are read for each scrape, so that a new password needs no restart. */
function credentials(config: ScrapeConfig, folder: string): { authorization?: string } {
  const { basic_auth: basic, authorization } = config;
  const secret = (value: string | undefined, file: string | undefined): string =>
    value ?? (file === undefined ? '' : readFileSync(inFolder(folder, file), 'utf8').trim());
  if (basic) {
    const pair = `${secret(basic.username, basic.username_file)}:${secret(basic.password, basic.password_file)}`;
    return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
  }
  if (authorization)
    return {
      authorization: `${authorization.type} ${secret(authorization.credentials, authorization.credentials_file)}`,
    };
  const { bearer_token, bearer_token_file } = config;
  if ((bearer_token ?? bearer_token_file) === undefined) return {};
  return { authorization: `Bearer ${secret(bearer_token, bearer_token_file)}` };
}

const tlsVersions = { TLS10: 'TLSv1', TLS11: 'TLSv1.1', TLS12: 'TLSv1.2', TLS13: 'TLSv1.3' } as const;

function tlsOptions({ tls_config: tls }: ScrapeConfig, folder: string) {
  const pem = (value: string | undefined, file: string | undefined): string | undefined =>
    value ?? (file === undefined ? undefined : readFileSync(inFolder(folder, file), 'utf8'));
  const ca = pem(tls?.ca, tls?.ca_file);
  const cert = pem(tls?.cert, tls?.cert_file);
  const key = pem(tls?.key, tls?.key_file);
  const minVersion: SecureVersion | undefined = tls?.min_version && tlsVersions[tls.min_version];
  const maxVersion: SecureVersion | undefined = tls?.max_version && tlsVersions[tls.max_version];
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(tls?.server_name !== undefined && { servername: tls.server_name }),
    ...(minVersion && { minVersion }),
    ...(maxVersion && { maxVersion }),
    rejectUnauthorized: !(tls?.insecure_skip_verify ?? false),
  };
}
