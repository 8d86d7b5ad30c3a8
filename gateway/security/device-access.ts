import { existsSync, readFileSync } from 'node:fs';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { isLoopback } from '../../lake/base/settings.ts';
import { siteCaPath } from './certificate.ts';
import { deviceSecretPath, deviceUserName } from './device-secret.ts';

/**
 * How a command reaches the gateway of this machine by HTTP, with the device's own secret where its user may read that. From
 * then on this process believes the gateway's certificate, too.
 */
export function deviceAccess(config: {
  readonly dataDir: string;
  readonly listen: { readonly host: string; readonly open: boolean };
  readonly http: { readonly port: number };
}): { readonly url: string; readonly headers: Readonly<Record<string, string>> } {
  const { dataDir, listen, http } = config;
  const [secretFile, caFile] = [deviceSecretPath(dataDir), siteCaPath(dataDir)];
  const host = listen.host === '0.0.0.0' || listen.host === '::' ? '127.0.0.1' : listen.host;
  const url = (scheme: string): string =>
    `${scheme}://${host.includes(':') ? `[${host}]` : host}:${http.port}`;
  if (isLoopback(listen.host) || listen.open || !existsSync(secretFile))
    return { url: url('http'), headers: {} };
  if (existsSync(caFile))
    setDefaultCACertificates([...getCACertificates('default'), readFileSync(caFile, 'utf8')]);
  const credentials = `${deviceUserName}:${readFileSync(secretFile, 'utf8')}`;
  const headers = { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
  // What stays on this machine needs no TLS, and a certificate of the owner's may not name it.
  return { url: url(isLoopback(host) ? 'http' : 'https'), headers };
}
