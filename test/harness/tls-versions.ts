import { once } from 'node:events';
import { connect } from 'node:tls';

const versions = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;

/** The versions of TLS that a listener of this machine speaks; each other one must be refused for its version. */
export async function tlsVersions(
  port: number,
  ca: string | Buffer,
  protocols: readonly string[],
): Promise<readonly string[]> {
  const spoken: string[] = [];
  for (const version of versions) {
    const socket = connect({
      ...{ host: '127.0.0.1', port, ca, ciphers: 'ALL:@SECLEVEL=0' },
      ...{ ALPNProtocols: [...protocols], minVersion: version, maxVersion: version },
    });
    try {
      await once(socket, 'secureConnect');
      spoken.push(socket.getProtocol() ?? 'none');
    } catch (error) {
      const { code } = error as { readonly code?: string };
      if (code !== 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION') throw error;
    } finally {
      socket.destroy();
    }
  }
  return spoken;
}
