import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { FirnError } from '../lake/base/errors.ts';

// What an operator would do by `firn claims create`, for the demo's one gateway.

/** The demo's gateway, as a gateway is called that nobody has named. */
const demo = { site: 'demo-site', gateway: 'gateway-1' } as const;

export const isEnrolled = (gatewayDir: string): boolean =>
  existsSync(join(gatewayDir, 'identity', 'identity.json'));

const answerSchema = z.object({ data: z.array(z.object({ claim: z.string() })) });

/** A claim for the demo's gateway, by the key that the cloud has made for its first tenant. */
export async function demoClaim(cloudUrl: string, keyFile: string): Promise<string> {
  const [, key = ''] = /FIRN_KEY='([^']+)'/.exec(readFileSync(keyFile, 'utf8')) ?? [];
  const tenant = basename(keyFile, '.key');
  const response = await fetch(`${cloudUrl}/api/v1/firn/admin/tenants/${tenant}/claims`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(key).toString('base64')}` },
    body: JSON.stringify({ ...demo, description: 'firn start', expiresInSeconds: 3600 }),
  });
  const text = await response.text();
  if (!response.ok)
    throw new FirnError({
      ...{ code: 'unavailable', operation: 'make claim', subject: cloudUrl },
      message: `the cloud makes no claim for the gateway: ${text.slice(0, 300)}`,
      hint: `the key in ${keyFile} needs the scope admin`,
    });
  const [made] = answerSchema.parse(JSON.parse(text)).data;
  return made?.claim ?? '';
}
