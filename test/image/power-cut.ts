import assert from 'node:assert';
import { spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import mqtt from 'mqtt';
import { healthy, password, personalisedDisk, sqlNumber } from './device.ts';
import { type Machine, startMachine } from './machine.ts';
import type { Context } from './main.ts';

const cuts = Number(process.env.FIRN_IMAGE_CUTS ?? 5);

/**
 * Pulls the plug under load. QEMU's disk is behind a server whose cache is lost with it, so that only what was flushed
 * survives: killing QEMU alone would leave every write with the host's kernel.
 */
export async function powerCutScenario(context: Context): Promise<void> {
  const { architecture, work, say } = context;
  const disk = await personalisedDisk(context);
  let acknowledged = 0;
  for (let cut = 1; cut <= cuts + 1; cut++) {
    const server = await startDiskServer(disk, work);
    const began = Date.now();
    const machine = await startMachine({ architecture, work, disk: { socket: server.socket } });
    try {
      await healthy(machine);
      const seconds = ((Date.now() - began) / 1000).toFixed(0);
      const stored = await sqlNumber(machine, "SELECT count(*) FROM metrics WHERE name = 'counter'");
      assert.ok(stored >= acknowledged, `${acknowledged} were acknowledged, ${stored} are there`);
      assert.ok(!/EXT4-fs error|corrupt/i.test(machine.console()), 'file systems are clean');
      say(
        `start ${cut}: healthy after ${seconds} s, ${stored} messages there, ${acknowledged} acknowledged before`,
      );
      if (cut > cuts) break;
      acknowledged += await publishUntil(machine, 10_000 + 3000 * cut, async () => {
        server.process.kill('SIGKILL');
        await machine.kill();
      });
    } finally {
      server.process.kill('SIGKILL');
      await machine.kill();
    }
  }
}

async function startDiskServer(disk: string, work: string) {
  const socket = join(work, 'disk.sock');
  rmSync(socket, { force: true });
  const args = ['-f', '-U', socket, '--filter=cache', 'file', disk, 'cache=writeback', 'cache-on-read=false'];
  const child = spawn('nbdkit', args, { stdio: 'inherit', env: { ...process.env, TMPDIR: work } });
  while (!existsSync(socket)) await delay(100);
  return { socket, process: child };
}

/** Publishes one after another for `ms`, then cuts the power. Gives how many were acknowledged. */
async function publishUntil(machine: Machine, ms: number, cutPower: () => Promise<void>): Promise<number> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${machine.mqttPort}`, {
    username: 'line',
    password,
    reconnectPeriod: 0,
  });
  let acknowledged = 0;
  let going = true;
  const lane = async (): Promise<void> => {
    while (going) {
      await client.publishAsync('plant-7/press/counter', String(acknowledged), { qos: 1 });
      acknowledged++;
    }
  };
  const lanes = Array.from({ length: 8 }, () => lane().catch(() => {})); // the cut ends them
  await delay(ms);
  const counted = acknowledged;
  await cutPower();
  going = false;
  client.end(true);
  await Promise.race([Promise.all(lanes), delay(2000)]);
  return counted;
}
