import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../harness/process.ts';

// A computer that boots an image: QEMU, always by software emulation, so that it works where there is no /dev/kvm.

export interface MachineOptions {
  readonly architecture: 'amd64' | 'arm64';
  /** The disk: a raw file, or the socket of a disk server that may lose what was not flushed. */
  readonly disk: { readonly file: string } | { readonly socket: string };
  /** Folder for the console's log and the firmware's variables. */
  readonly work: string;
  /** Raw file of a USB stick that is plugged in. */
  readonly stick?: string;
  readonly memoryMiB?: number;
  /** Gives the machine a screen, and QEMU's control socket this path. */
  readonly screen?: string;
}

export interface Machine {
  readonly mqttPort: number;
  readonly httpPort: number;
  /** Everything that the console printed. */
  console(): string;
  /** Resolves once the console prints what matches, after `fromOffset`; rejects after `limitMs` with its last lines. */
  waitFor(pattern: RegExp, limitMs: number, fromOffset?: number): Promise<RegExpMatchArray>;
  /** Off at once, like a plug that is pulled; what was written and not flushed may be on the disk all the same. */
  kill(): Promise<void>;
  readonly process: ChildProcess;
}

interface Board {
  readonly program: string;
  readonly args: readonly string[];
  readonly firmware: string;
  readonly variables: string;
}

const boards: Readonly<Record<MachineOptions['architecture'], Board>> = {
  amd64: {
    program: 'qemu-system-x86_64',
    // Without memory protection keys: under emulation V8 trips over them now and then.
    args: ['-machine', 'q35', '-cpu', 'max,pku=off'],
    firmware: '/usr/share/OVMF/OVMF_CODE_4M.fd',
    variables: '/usr/share/OVMF/OVMF_VARS_4M.fd',
  },
  arm64: {
    program: 'qemu-system-aarch64',
    args: ['-machine', 'virt', '-cpu', 'cortex-a72'],
    firmware: '/usr/share/AAVMF/AAVMF_CODE.fd',
    variables: '/usr/share/AAVMF/AAVMF_VARS.fd',
  },
};

export async function startMachine(options: MachineOptions): Promise<Machine> {
  const board = boards[options.architecture];
  const variables = join(options.work, 'firmware-variables');
  const log = join(options.work, 'console.log');
  if (!existsSync(variables)) copyFileSync(board.variables, variables);
  rmSync(log, { force: true });
  const [mqttPort, httpPort] = [await freePort(), await freePort()];
  const disk = 'file' in options.disk ? options.disk.file : `nbd+unix:///?socket=${options.disk.socket}`;
  const stick =
    options.stick === undefined
      ? []
      : [
          '-device',
          'qemu-xhci',
          '-drive',
          `if=none,id=stick,format=raw,file=${options.stick}`,
          '-device',
          'usb-storage,drive=stick,removable=on',
        ];
  const child = spawn(
    board.program,
    [
      ...board.args,
      ...['-accel', 'tcg,thread=multi', '-smp', '2', '-m', String(options.memoryMiB ?? 1024)],
      ...['-nodefaults', '-display', 'none', '-monitor', 'none', '-serial', `file:${log}`],
      ...['-drive', `if=pflash,format=raw,readonly=on,file=${board.firmware}`],
      ...['-drive', `if=pflash,format=raw,file=${variables}`],
      ...[
        '-drive',
        `if=none,id=disk,format=raw,cache=writeback,file=${disk}`,
        '-device',
        'virtio-blk-pci,drive=disk',
      ],
      ...[
        '-netdev',
        `user,id=net,hostfwd=tcp:127.0.0.1:${mqttPort}-:1883,hostfwd=tcp:127.0.0.1:${httpPort}-:8480`,
      ],
      ...['-device', 'virtio-net-pci,netdev=net,romfile=', '-device', 'virtio-rng-pci'],
      ...stick,
      ...(options.screen === undefined
        ? []
        : ['-device', 'VGA', '-qmp', `unix:${options.screen},server=on,wait=off`]),
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const console = (): string => (existsSync(log) ? readFileSync(log, 'latin1').replaceAll('\r', '') : '');
  const waitFor = async (pattern: RegExp, limitMs: number, fromOffset = 0): Promise<RegExpMatchArray> => {
    const until = Date.now() + limitMs;
    for (;;) {
      const found = console().slice(fromOffset).match(pattern);
      if (found) return found;
      if (child.exitCode !== null) throw new Error(`QEMU ended with ${child.exitCode}`);
      if (Date.now() > until)
        throw new Error(
          `no ${pattern} on the console; its end:\n${console().split('\n').slice(-30).join('\n')}`,
        );
      await delay(500);
    }
  };
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  };
  return { mqttPort, httpPort, console, waitFor, kill, process: child };
}
