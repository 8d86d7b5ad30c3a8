import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { siteErrorName } from '../../provisioning/site-file.ts';
import { identityFolder } from '../fleet/identity.ts';
import { securityFolder } from '../security/security-database.ts';
import { announcementFolder } from './announcement.ts';
import type { Places } from './places.ts';

/**
 * Makes an appliance as it was when it was flashed: identity, secrets and configuration go, and what was received too,
 * unless `keepData`. Both slots stay. The configuration goes last, so that a reset that is cut off can be repeated.
 */
export function resetAppliance(places: Places, keepData: boolean): void {
  for (const folder of [
    identityFolder(places.gateway),
    securityFolder(places.gateway),
    announcementFolder(places),
  ])
    rmSync(folder, { recursive: true, force: true });
  const folders = [...(keepData ? [] : [places.gateway]), places.updates, places.config];
  for (const folder of folders)
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
  rmSync(join(places.boot, siteErrorName), { force: true });
}
