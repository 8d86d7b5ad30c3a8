/** The port of an A/B update: two slots, one of which runs. Implementations: rauc.ts; a folder, in tests. */
export interface Slots {
  status(): Promise<SlotStatus>;
  /** What a bundle says of itself, after its signature was verified. Throws FirnError `denied` or `corrupt`. */
  inspect(bundle: string): Promise<BundleInfo>;
  /** Verifies a bundle and writes it to the other slot, which is tried at the next start. The running slot is not touched. */
  install(bundle: string, signal?: AbortSignal): Promise<void>;
  /** Ends the trial of the running slot: it stays. */
  confirm(): Promise<void>;
  /** The running slot is not started again. */
  reject(): Promise<void>;
}

export type SlotName = 'A' | 'B';

export interface SlotStatus {
  readonly booted: SlotName;
  /** Slot that the next start tries first. */
  readonly next: SlotName;
  readonly good: Readonly<Record<SlotName, boolean>>;
}

export interface BundleInfo {
  readonly version: string;
  /** Kind of machine, for example `firn-amd64`. */
  readonly compatible: string;
}
