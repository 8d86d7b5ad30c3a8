// What differs between the machines that images are built for. Everything else of the recipe is the same.

export type ArchitectureName = 'amd64' | 'arm64';

export interface Architecture {
  /** Debian's name. */
  readonly name: ArchitectureName;
  /** npm's name of the processor, as in `node-linux-<cpu>`. */
  readonly cpu: 'x64' | 'arm64';
  /** Packages beside those of every image. */
  readonly packages: readonly string[];
  readonly grub: {
    readonly package: string;
    readonly format: string;
    /** Modules beside those of every image. */
    readonly modules: readonly string[];
    /** The name under which firmware looks for a boot program. */
    readonly efiFile: string;
    /** First lines of grub.cfg: where the menu speaks. */
    readonly terminal: string;
  };
  /** Kernel arguments; the last console is the one that system messages go to. */
  readonly consoles: string;
  /** QEMU's user emulation of the processor, where the building machine has another. */
  readonly emulator: string;
  /** Whether the boot partition starts a Raspberry Pi, too. */
  readonly piFirmware: boolean;
}

export const architectures: Readonly<Record<ArchitectureName, Architecture>> = {
  amd64: {
    name: 'amd64',
    cpu: 'x64',
    packages: ['linux-image-amd64'],
    grub: {
      package: 'grub-efi-amd64-bin',
      format: 'x86_64-efi',
      modules: ['serial', 'all_video'],
      efiFile: 'BOOTX64.EFI',
      terminal: 'serial --unit=0 --speed=115200\nterminal_output console serial',
    },
    consoles: 'console=ttyS0,115200 console=tty0',
    emulator: 'qemu-x86_64',
    piFirmware: false,
  },
  arm64: {
    name: 'arm64',
    cpu: 'arm64',
    packages: ['linux-image-arm64', 'u-boot-rpi', 'raspi-firmware', 'firmware-brcm80211'],
    grub: {
      package: 'grub-efi-arm64-bin',
      format: 'arm64-efi',
      modules: [],
      efiFile: 'BOOTAA64.EFI',
      terminal: 'terminal_output console',
    },
    consoles: 'console=ttyAMA0,115200 console=ttyS1,115200 console=tty1',
    emulator: 'qemu-aarch64',
    piFirmware: true,
  },
};

/** Packages of every image. No compiler, no SSH server, no editor. */
export const packages: readonly string[] = [
  'systemd',
  'systemd-sysv',
  'systemd-repart',
  'systemd-resolved',
  'systemd-timesyncd',
  'udev',
  'dbus',
  'initramfs-tools',
  'zstd',
  'kmod',
  'nftables',
  'iproute2',
  'iwd',
  'ca-certificates',
  'tzdata',
  'e2fsprogs',
  'dosfstools',
  'fdisk',
  'grub-common',
  'rauc',
  'rauc-service',
  'squashfs-tools',
  'libstdc++6',
  'libatomic1',
];

/** GRUB's modules of every image: GPT, the two file systems it reads, variables that survive, and the menu's language. */
export const grubModules: readonly string[] = [
  ...['part_gpt', 'part_msdos', 'fat', 'ext2', 'gzio'],
  ...['normal', 'configfile', 'linux', 'boot', 'loadenv', 'search', 'search_fs_file', 'search_label'],
  ...['test', 'true', 'echo', 'regexp', 'sleep', 'reboot', 'halt'],
];
