import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { copyFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { FirnError, messageOf } from '../lake/base/errors.ts';
import { printSiteFile, type SiteFile, siteFileName } from './site-file.ts';

const execute = promisify(execFile);

/** Where the boot partition begins in every image, in bytes: firmware-images/build/disk.ts lays it there. */
export const bootPartitionOffset = 1024 * 1024;

/**
 * Writes `site` to the boot partition of a copy of `image`. The copy is whole or not there. Throws FirnError
 * `invalid` when the file is no image with such a partition, `unsupported` where mtools are not installed.
 */
export async function personaliseImage(image: string, site: SiteFile, copy: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'firn-image-'));
  const temporary = `${copy}.tmp`;
  try {
    const file = join(work, siteFileName);
    await writeFile(file, printSiteFile(site), { mode: 0o600 });
    await copyFile(image, temporary, constants.COPYFILE_FICLONE);
    await execute('mcopy', ['-o', '-i', `${temporary}@@${bootPartitionOffset}`, file, `::${siteFileName}`]);
    await rename(temporary, copy);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw failed(cause, image);
  } finally {
    await rm(work, { recursive: true });
  }
}

function failed(cause: unknown, image: string): FirnError {
  const { code } = cause as { readonly code?: unknown };
  const detail = { operation: 'personalise an image', subject: image, cause };
  if (code === 'ENOENT' && messageOf(cause).includes('mcopy'))
    return new FirnError({
      ...{ ...detail, code: 'unsupported', message: 'mcopy is not installed' },
      hint: `install the package mtools; or flash the image and copy ${siteFileName} to its boot partition by hand`,
    });
  return new FirnError({
    ...{
      ...detail,
      code: 'invalid',
      message: `${image}: ${messageOf(cause).split('\n').slice(-2).join(' ').trim()}`,
    },
    hint: 'give an uncompressed .img file that npm run image has built (zstd -d unpacks it)',
  });
}
