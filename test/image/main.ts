import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { adoptionScenario } from './adoption.ts';
import { bootScenario } from './boot.ts';
import { powerCutScenario } from './power-cut.ts';
import { rolloutScenario } from './rollout.ts';
import { panicScenario, refusalScenario, unhealthyScenario, updateScenario } from './update.ts';

// `npm run test:image -- [amd64|arm64] [SCENARIO…]`: boots an image that `npm run image` has built, in QEMU, and tries on
// it what a person does with a device. Takes minutes; not a part of continuous integration.

export interface Context {
  readonly architecture: 'amd64' | 'arm64';
  /** Folder with the image and its bundle. */
  readonly built: string;
  readonly image: string;
  readonly bundle: string;
  /** An empty folder of the scenario's own. */
  readonly work: string;
  /** Prints a figure or a finding. */
  readonly say: (text: string) => void;
}

const repository = join(import.meta.dirname, '../..');

const scenarios: Readonly<Record<string, (context: Context) => Promise<void>>> = {
  boot: bootScenario,
  'power-cut': powerCutScenario,
  update: updateScenario,
  unhealthy: unhealthyScenario,
  panic: panicScenario,
  refusal: refusalScenario,
  rollout: rolloutScenario,
  adoption: adoptionScenario,
  /** Takes those of firmware-images/README.md. */
  pictures: (context) => adoptionScenario(context, join(repository, 'firmware-images/pictures')),
};

/** Pictures are taken when they are asked for: they change files of the repository. */
const byDefault = Object.keys(scenarios).filter((name) => name !== 'pictures');

async function main(argv: readonly string[]): Promise<number> {
  const architecture = argv.includes('arm64') ? 'arm64' : 'amd64';
  const named = argv.filter((name) => Object.hasOwn(scenarios, name));
  const unknown = argv.find(
    (name) => !Object.hasOwn(scenarios, name) && name !== 'amd64' && name !== 'arm64',
  );
  if (unknown !== undefined) {
    process.stderr.write(
      `test:image: there is no scenario ${unknown}; there are ${Object.keys(scenarios).join(', ')}\n`,
    );
    return 1;
  }
  const built = join(repository, '.cache/image', architecture);
  const find = (ending: string): string =>
    join(
      built,
      (existsSync(built) ? readdirSync(built) : []).find((name) => name.endsWith(ending)) ?? `firn${ending}`,
    );
  const [image, bundle] = [find('.img'), find('.raucb')];
  if (!existsSync(image)) {
    process.stderr.write(`test:image: there is no image in ${built}: run npm run image -- ${architecture}\n`);
    return 1;
  }
  let failed = 0;
  for (const name of named.length > 0 ? named : byDefault) {
    const work = join(repository, '.cache/image-test', architecture, name);
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work, { recursive: true });
    const say = (text: string): void => console.log(`${name}: ${text}`);
    try {
      await scenarios[name]?.({ architecture, built, image, bundle, work, say });
      say('passed');
    } catch (error) {
      failed++;
      say(`FAILED: ${inspect(error)}`); // with its causes
    }
  }
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
