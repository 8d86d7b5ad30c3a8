import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Architecture } from './architectures.ts';

// What an image is made of, in CycloneDX 1.6: Debian's packages and npm's, each with its package URL.

export interface Materials {
  readonly architecture: Architecture;
  readonly version: string;
  /** Debian's, as `name=version`. */
  readonly packages: readonly string[];
  /** Folder of the application, whose package-lock.json is read. */
  readonly application: string;
}

interface LockEntry {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
}

/** The document as JSON text. Nothing in it depends on when or where it was made. */
export async function billOfMaterials(materials: Materials): Promise<string> {
  const { architecture, version } = materials;
  const lock = JSON.parse(await readFile(join(materials.application, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, LockEntry>>;
  };
  const components = [
    ...materials.packages.map((line) => debianComponent(line, architecture)),
    ...Object.entries(lock.packages).flatMap(([path, entry]) => npmComponent(path, entry, architecture)),
  ];
  return `${JSON.stringify(
    {
      ...{ bomFormat: 'CycloneDX', specVersion: '1.6', version: 1 },
      metadata: {
        component: { type: 'firmware', name: `firn-${architecture.name}`, version, 'bom-ref': 'firn' },
      },
      components,
    },
    null,
    1,
  )}\n`;
}

function debianComponent(line: string, { name: architecture }: Architecture) {
  const [name = '', version = ''] = line.split('=');
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}&distro=trixie`;
  return { type: 'library', name, version, purl, 'bom-ref': purl };
}

function npmComponent(path: string, entry: LockEntry, { cpu }: Architecture) {
  const isElsewhere = (entry.os && !entry.os.includes('linux')) || (entry.cpu && !entry.cpu.includes(cpu));
  if (path === '' || entry.dev || isElsewhere || entry.version === undefined) return [];
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const purl = `pkg:npm/${name.replace('@', '%40')}@${encodeURIComponent(entry.version)}`;
  const licenses = entry.license === undefined ? {} : { licenses: [{ expression: entry.license }] };
  return [{ type: 'library', name, version: entry.version, purl, 'bom-ref': `${purl}#${path}`, ...licenses }];
}
