import assert from 'node:assert';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleOf, stickResult, stickWith, tampered, truncated } from './bundles.ts';
import { execute, healthy, personalisedDisk, publish, query, updateLog } from './device.ts';
import { type Machine, startMachine } from './machine.ts';
import type { Context } from './main.ts';

/** Updates by USB stick: one that is kept, one that is unhealthy, bundles that are refused, one whose system does not start. */
export async function updateScenario(context: Context): Promise<void> {
  const { architecture, work, say } = context;
  const disk = await personalisedDisk(context);
  const stick = join(work, 'stick.img');
  const start = (): Promise<Machine> => startMachine({ architecture, work, stick, disk: { file: disk } });
  const good = await bundleOf(context, '0.2.0', 'none');

  writeFileSync(join(work, 'firn-support'), '');
  await stickWith([join(work, 'firn-support'), good], stick);
  await tryUpdate(start, say, {
    version: '0.2.0',
    outcome: /update from 0\.1\.0 to 0\.2\.0: healthy, and kept/,
  });
  const { stdout } = await execute('mdir', ['-b', '-i', stick, '::']);
  assert.match(stdout, /firn-support-press\.tar\.gz/i);
  say('the support bundle is on the stick');

  await stickWith([await bundleOf(context, '0.3.0', 'unhealthy')], stick);
  await tryUpdate(start, say, {
    version: '0.3.0',
    outcome: /update from 0\.2\.0 to 0\.3\.0: failed, back on 0\.2\.0: .*broker/,
  });
  for (const [what, bundle, expected] of [
    ['one changed bit', tampered(good, join(work, 'tampered.raucb')), /update: failed/],
    ['cut in half', truncated(good, join(work, 'truncated.raucb')), /update: failed/],
    ['a foreign key', await bundleOf(context, '0.2.1', 'none', join(work, 'foreign-keys')), /update: failed/],
    ['an older version', await bundleOf(context, '0.0.9', 'none'), /older than/],
  ] as const) {
    await stickWith([bundle], stick);
    const machine = await start();
    try {
      await healthy(machine);
      await machine.waitFor(/firn: stick: /, 600_000);
      const result = await stickResult(stick);
      assert.match(result, expected);
      say(`${what}: refused: ${result.trim().split('\n').slice(1).join(' ').slice(0, 240)}`);
      await publish(machine, 'plant-7/press/temperature', '20');
    } finally {
      await machine.kill();
    }
  }

  await stickWith([await bundleOf(context, '0.4.0', 'does not start')], stick);
  await tryUpdate(start, say, {
    version: '0.4.0',
    outcome: /update from 0\.2\.0 to 0\.4\.0: failed, back on 0\.2\.0: slot . did not come up/,
  });
}

/** Starts with the stick plugged in, and waits until the machine has judged what it installed. */
async function tryUpdate(
  start: () => Promise<Machine>,
  say: (text: string) => void,
  expected: { readonly version: string; readonly outcome: RegExp },
): Promise<void> {
  const began = Date.now();
  const machine = await start();
  try {
    await healthy(machine);
    await publish(machine, 'plant-7/press/temperature', '21');
    await machine.waitFor(/firn: stick: .*update: /, 900_000);
    say(`${expected.version}: written after ${((Date.now() - began) / 1000).toFixed(0)} s`);
    const [line] = await machine.waitFor(expected.outcome, 1_800_000);
    say(`${line} (after ${((Date.now() - began) / 1000).toFixed(0)} s)`);
    await healthy(machine, machine.console().search(expected.outcome));
    assert.match((await updateLog(machine)).at(-1) ?? '', expected.outcome);
    const [kept] = await query(machine, 'count_over_time(temperature[2h])');
    assert.ok((kept?.value ?? 0) > 0, 'what was received before is there');
  } finally {
    await machine.kill();
  }
}
