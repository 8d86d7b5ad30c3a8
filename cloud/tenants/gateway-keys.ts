import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import { type PublicKey, parsePublicKey } from '../../lake/bundle/signing-key.ts';
import { gatewayId, tenantId } from '../../lake/model/ids.ts';

// The keys that sign the bundles of gateways: public, so there is nothing secret in the file; but whoever writes it
// decides whose data is taken. It stands beside tenants.json, which a running cloud writes.

const fileSchema = z.strictObject({
  format: z.literal(1),
  gateways: z.array(z.strictObject({ tenant: z.string(), gateway: z.string(), publicKey: z.string() })),
});
type GatewayKeyFile = z.infer<typeof fileSchema>;

export interface GatewayKeys {
  /** Throws FirnError `denied` when no key is trusted for this gateway. */
  keyOf(tenant: string, gateway: string): PublicKey;
  /** A gateway has one key; returns the one that was trusted before, if it was another. */
  trust(tenant: string, gateway: string, key: PublicKey): PublicKey | undefined;
}

/** Opens `gateway-keys.json` in a folder; a file that can't be read is an error, never an empty list. */
export function openGatewayKeys(directory: string): GatewayKeys {
  const path = join(directory, 'gateway-keys.json');
  const file = existsSync(path) ? read(path) : { format: 1 as const, gateways: [] };
  const find = (tenant: string, gateway: string): PublicKey | undefined => {
    const found = file.gateways.find((each) => each.tenant === tenant && each.gateway === gateway);
    return found && parsePublicKey(found.publicKey, path);
  };
  return {
    keyOf: (tenant, gateway) => {
      const key = find(tenant, gateway);
      if (!key) throw unknown(tenant, gateway);
      return key;
    },
    trust: (tenant, gateway, key) => {
      const known = { tenant: tenantId(tenant), gateway: gatewayId(gateway) };
      const before = find(tenant, gateway);
      const others = file.gateways.filter((each) => each.tenant !== tenant || each.gateway !== gateway);
      const next: GatewayKeyFile = { format: 1, gateways: [...others, { ...known, publicKey: key.pem }] };
      writeSecretFile(path, `${JSON.stringify(next, null, 2)}\n`);
      file.gateways = next.gateways;
      return before?.fingerprint === key.fingerprint ? undefined : before;
    },
  };
}

function read(path: string): GatewayKeyFile {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw new FirnError({
      code: 'corrupt',
      operation: 'read gateway keys',
      subject: path,
      message: `${path} can't be read: ${messageOf(cause).split('\n')[0]}`,
      hint: 'restore it from a backup; or remove it, and trust the gateways again with `firn ship trust`',
      cause,
    });
  }
}

function unknown(tenant: string, gateway: string): FirnError {
  return new FirnError({
    code: 'denied',
    operation: 'find gateway key',
    subject: gateway,
    message: `no key is trusted for gateway ${gateway} of tenant ${tenant}`,
    hint: `print its key on the gateway with \`firn ship key\`, and here run \`firn ship trust --tenant ${tenant} --gateway ${gateway} PUBKEY_FILE\``,
  });
}
