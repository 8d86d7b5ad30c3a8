import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Says something to the person who stands before the device, on its screen and on its serial port: the kernel gives a
 * service only the last of its consoles.
 */
export function sayOnConsoles(text: string): void {
  process.stdout.write(text);
  for (const name of activeConsoles()) {
    try {
      writeFileSync(`/dev/${name}`, text.replaceAll('\n', '\r\n'));
    } catch {
      // One that is named and not there; the journal has the text in any case.
    }
  }
}

function activeConsoles(): string[] {
  try {
    return readFileSync('/sys/class/tty/console/active', 'utf8').trim().split(' ');
  } catch {
    return []; // not Linux, or a container
  }
}
