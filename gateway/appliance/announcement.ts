import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import { type EnrollmentState, enrollmentState } from '../fleet/enrollment-state.ts';
import type { Places } from './places.ts';
import { readJson } from './read-json.ts';

// How far the device is on its way to its cloud, from the gateway, which has no right to write on the consoles, to a service
// of root, which has (firn-announce.service).

export const announcementFolder = (places: Places): string => join(places.gateway, 'announce');
const stateFile = (places: Places): string => join(announcementFolder(places), 'state.json');
/** There until the service begins to look: see requested-update.ts. */
export const announcementMark = (places: Places): string => join(announcementFolder(places), 'changed');

/** The gateway's part. Undefined on a machine that was not flashed with an image. */
export function announcements(places: Places): ((state: EnrollmentState) => void) | undefined {
  if (!existsSync(places.release)) return undefined;
  return (state) => {
    if (JSON.stringify(state) === JSON.stringify(readAnnouncement(places))) return;
    writeSecretFile(stateFile(places), JSON.stringify(state));
    writeSecretFile(announcementMark(places), '');
  };
}

/** Root's part. */
export const readAnnouncement = (places: Places): EnrollmentState | undefined =>
  readJson(stateFile(places), enrollmentState);
