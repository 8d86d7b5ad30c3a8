import { createSecureContext } from 'node:tls';
import type { Logger } from '../../lake/base/log.ts';
import { type WatchedFiles, watchFiles } from './access/watched-file.ts';
import type { TlsSettings } from './listeners.ts';

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  readonly clientCertificates: 'none' | 'optional' | 'required';
}

/** Reads the certificates, and again when they change. Throws for files that are missing or do not fit together. */
export function openTlsFiles(
  files: TlsFiles,
  logger: Logger,
  onChange: (settings: TlsSettings) => void,
): WatchedFiles<TlsSettings> {
  const { certFile, keyFile, caFile, clientCertificates } = files;
  const read = ([cert = '', key = '', ca]: readonly string[]): TlsSettings => {
    const certificates = { cert, key, ...(ca !== undefined && { ca }) };
    createSecureContext(certificates); // throws for a key that is not the certificate's
    const asks = clientCertificates !== 'none';
    return { ...certificates, requestCert: asks, rejectUnauthorized: clientCertificates === 'required' };
  };
  return watchFiles([certFile, keyFile, ...(caFile === '' ? [] : [caFile])], read, logger, onChange);
}
