import type { ClockQuality } from '../../lake/model/manifest.ts';

// What time is it, and how sure is that? A gateway without a battery-backed clock starts in the past, a battery may be
// empty, and a person or a broken time server may move the clock by years. This is the state machine: pure, fed with
// readings and evidence by clock.ts.
//
// The gateway's own time is the wall clock plus an offset. The offset is 0 while the wall clock is believed. When the
// wall clock jumps and nothing says that the jump was right, the offset takes it up: time runs on as the monotonic
// clock says. When the truth comes from elsewhere (the store's or the cloud's time) the offset is the difference.

/** Both clocks at one moment. */
export interface ClockReading {
  /** Microseconds since the Unix epoch. */
  readonly wallUs: number;
  /** Microseconds since the machine's boot. */
  readonly monoUs: number;
}

/** What speaks for the wall clock as it is now. */
export interface ClockEvidence {
  /** When a time daemon last set or confirmed the wall clock, by the wall clock; undefined: never in this boot. */
  readonly synchronizedUs?: number | undefined;
  /** What the battery-backed clock says now; undefined where there is none or it can't be read. */
  readonly rtcUs?: number | undefined;
  /** The platform keeps the wall clock right without showing how: a virtual machine, another operating system. */
  readonly kept?: boolean;
}

export interface TimeKeeperSettings {
  /** `always`: the wall clock is right, whatever it does. */
  readonly trust: 'auto' | 'always';
  /** How long rows whose time may still be corrected wait for it. */
  readonly holdUs: number;
  /** The wall clock is not believed when it is before this: the newest time on record, or when Firn was made. */
  readonly floorUs: number;
}

/** From now on rows are of this quality. */
export interface ClockChange {
  readonly clock: ClockQuality;
  /** The untrusted rows of this boot are known to be wrong by this; undefined: nothing new is known of them. */
  readonly correctUs: number | undefined;
  /** What happened, for people. */
  readonly reason: string;
}

export interface TimeKeeper {
  /** The gateway's time. Notices jumps of the wall clock, so changes may be reported from here. */
  nowUs(reading: ClockReading): number;
  /** Looks at the evidence; to be called every few seconds. */
  look(reading: ClockReading, evidence: ClockEvidence): void;
  /** Time from elsewhere, right to a second or so, at the moment of the reading. */
  learn(trueUs: number, reading: ClockReading, source: string): void;
  /** What the log knows, before the first look: the newest time on record; wall - mono of untrusted rows of this boot. */
  resume(recorded: { readonly newestUs?: number; readonly untrustedBaseUs?: number }): void;
  /** Untrusted rows of this boot that were received after this, by the monotonic clock, are not to be sealed yet. */
  holdSinceMonoUs(reading: ClockReading): number;
  readonly state: TimeState;
}

interface TimeState {
  readonly clock: ClockQuality;
  /** Added to the wall clock. */
  readonly offsetUs: number;
  readonly floorUs: number;
  /** Who speaks for it: nobody, a battery or the platform, another machine, a time daemon. */
  readonly evidence: 'none' | 'weak' | 'server' | 'daemon';
}

/** A change of the wall clock against the monotonic one by so much is a jump; less is a time daemon at its work. */
const jumpUsMin = 5_000_000;
/** Times from elsewhere and battery-backed clocks may differ by so much before they speak against the wall clock. */
const toleranceUs = 30_000_000;
/** A larger jump of a clock that only a battery or the platform speaks for has to be confirmed. */
const believedJumpUsMax = 3_600_000_000;
/** Longer is not how long a machine slept. */
const sleepUsMax = 30 * 86_400_000_000;
/** Nobody sets a clock that far past what is on record. */
const settableUsMax = 5 * 365 * 86_400_000_000;
/** A time daemon confirms the clock at least this often (systemd-timesyncd: every 2048 s). */
const synchronizedAgeUsMax = 4_200_000_000;
/** Times on record are a little ahead when a time daemon has just put the clock back. */
const floorToleranceUs = 60_000_000;

interface State {
  clock: ClockQuality;
  offsetUs: number;
  floorUs: number;
  evidence: TimeState['evidence'];
  /** wallUs - monoUs as last seen. */
  wallBaseUs: number | undefined;
  /** The same of the gateway's time: what rows are stamped with. */
  stampBaseUs: number;
  /** The last jump, when nothing has confirmed it yet and the offset has taken it up. */
  doubtedJumpUs: number | undefined;
  /** What the wall clock said after its last jump: only what is newer confirms it. */
  jumpedToUs: number;
  /** True time - monoUs as another machine said once; it is believed when it is said twice. */
  claimedBaseUs: number | undefined;
  untrustedSinceMonoUs: number | undefined;
}

type Change = (clock: ClockQuality, offsetUs: number, reason: string) => void;

export function createTimeKeeper(
  settings: TimeKeeperSettings,
  onChange: (change: ClockChange) => void,
): TimeKeeper {
  const always = settings.trust === 'always';
  const state = initialState(settings);
  const change: Change = (clock, offsetUs, reason) => {
    const stampBaseUs = (state.wallBaseUs ?? 0) + offsetUs;
    const known = state.clock === 'untrusted' && clock !== 'untrusted';
    const correctUs = known ? stampBaseUs - state.stampBaseUs : undefined;
    Object.assign(state, { clock, offsetUs, stampBaseUs });
    onChange({ clock, correctUs, reason });
  };
  const notice = (reading: ClockReading): void => {
    const baseUs = reading.wallUs - reading.monoUs;
    const jumpUs = baseUs - (state.wallBaseUs ?? baseUs);
    state.wallBaseUs = baseUs;
    state.untrustedSinceMonoUs ??= reading.monoUs;
    if (Math.abs(jumpUs) >= jumpUsMin) jumped(state, always, jumpUs, reading, change);
    state.stampBaseUs = baseUs + state.offsetUs;
  };
  return {
    state,
    nowUs: (reading) => {
      notice(reading);
      return reading.wallUs + state.offsetUs;
    },
    look: (reading, evidence) => {
      notice(reading);
      if (!always) weigh(state, reading, evidence, change);
    },
    learn: (trueUs, reading, source) => {
      notice(reading);
      if (!always) believe(state, trueUs, reading, source, change);
    },
    resume: ({ newestUs, untrustedBaseUs }) => {
      state.floorUs = Math.max(state.floorUs, newestUs ?? 0);
      // As if the rows had been received by this process: what the wall clock did since then is a jump.
      state.wallBaseUs = untrustedBaseUs ?? state.wallBaseUs;
      state.stampBaseUs = untrustedBaseUs ?? state.stampBaseUs;
    },
    holdSinceMonoUs: ({ monoUs }) => {
      const since = state.untrustedSinceMonoUs ?? monoUs;
      const waiting = state.clock === 'untrusted' && monoUs - since < settings.holdUs;
      return waiting ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    },
  };
}

const initialState = ({ trust, floorUs }: TimeKeeperSettings): State => ({
  clock: trust === 'always' ? 'trusted' : 'untrusted',
  offsetUs: 0,
  floorUs,
  evidence: 'none',
  wallBaseUs: undefined,
  stampBaseUs: 0,
  doubtedJumpUs: undefined,
  jumpedToUs: Number.NEGATIVE_INFINITY,
  claimedBaseUs: undefined,
  untrustedSinceMonoUs: undefined,
});

const isBehindFloor = ({ floorUs }: State, { wallUs }: ClockReading): boolean =>
  wallUs < floorUs - floorToleranceUs;

/** The wall clock was set while this ran, or the machine slept. */
function jumped(state: State, always: boolean, jumpUs: number, reading: ClockReading, change: Change): void {
  const what = `the wall clock jumped by ${Math.round(jumpUs / 1e6)} s`;
  state.jumpedToUs = reading.wallUs;
  const behindFloor = isBehindFloor(state, reading);
  if (always) {
    change('trusted', 0, `${what}; clock.trust is always`);
  } else if (state.clock === 'untrusted') {
    // Whoever sets a clock that nobody believes knows better: a time daemon that leaves no trace, or a person.
    const plausible = !behindFloor && reading.wallUs < state.floorUs + settableUsMax;
    if (plausible) change('corrected', 0, `${what}: it was set`);
    else state.offsetUs -= jumpUs;
  } else if (isBelieved(state, jumpUs) && !behindFloor) {
    change(state.clock, state.offsetUs, what);
  } else {
    state.doubtedJumpUs = (state.doubtedJumpUs ?? 0) + jumpUs;
    change('corrected', state.offsetUs - jumpUs, `${what} and nothing says why: time runs on without it`);
  }
}

const isBelieved = ({ evidence, doubtedJumpUs }: State, jumpUs: number): boolean =>
  evidence === 'weak' && doubtedJumpUs === undefined && Math.abs(jumpUs) <= believedJumpUsMax;

/** Decides by the evidence whether the wall clock is right. */
function weigh(state: State, reading: ClockReading, evidence: ClockEvidence, change: Change): void {
  const { wallUs } = reading;
  const { synchronizedUs, rtcUs, kept = false } = evidence;
  const confirmed =
    synchronizedUs !== undefined &&
    synchronizedUs >= state.jumpedToUs - 1_000_000 &&
    synchronizedUs <= wallUs + 1_000_000 &&
    wallUs - synchronizedUs <= synchronizedAgeUsMax;
  if (confirmed) {
    state.evidence = 'daemon';
    follow(state, wallUs, 'a time daemon keeps the wall clock', change);
    return;
  }
  const { doubtedJumpUs: doubt } = state;
  if (isBehindFloor(state, reading) || (state.clock !== 'untrusted' && doubt === undefined)) return;
  // Weak evidence: enough to begin with, and to tell a machine that slept from a clock that was moved.
  const slept = doubt === undefined || (doubt > -believedJumpUsMax && doubt < sleepUsMax);
  const agrees = rtcUs !== undefined && Math.abs(rtcUs - wallUs) <= toleranceUs;
  if (!agrees && !(kept && slept)) return;
  if (state.evidence === 'none') state.evidence = 'weak';
  follow(state, wallUs, agrees ? 'the battery-backed clock agrees' : 'the platform keeps the clock', change);
}

/** Time from another machine: it speaks against a battery, not against a time daemon. */
function believe(state: State, trueUs: number, reading: ClockReading, source: string, change: Change): void {
  const wrongUs = trueUs - reading.wallUs;
  const baseUs = trueUs - reading.monoUs;
  const saidBefore = Math.abs(baseUs - (state.claimedBaseUs ?? Number.NEGATIVE_INFINITY)) <= toleranceUs;
  state.claimedBaseUs = baseUs;
  if (Math.abs(wrongUs) <= toleranceUs) {
    if (state.evidence !== 'daemon') state.evidence = 'server';
    follow(state, trueUs, `${source} agrees with the wall clock`, change);
    return;
  }
  const known = state.clock !== 'untrusted' && Math.abs(wrongUs - state.offsetUs) <= toleranceUs;
  const kept = state.evidence === 'daemon' && state.clock === 'trusted';
  if (kept || !(known || saidBefore)) return;
  Object.assign(state, { evidence: 'server', doubtedJumpUs: undefined });
  if (known) return;
  state.floorUs = Math.min(state.floorUs, trueUs);
  change('corrected', wrongUs, `the wall clock is wrong by ${Math.round(wrongUs / 1e6)} s, says ${source}`);
}

/** The wall clock is right. */
function follow(state: State, trueUs: number, reason: string, change: Change): void {
  state.doubtedJumpUs = undefined;
  state.floorUs = Math.min(state.floorUs, trueUs);
  if (state.clock !== 'trusted' || state.offsetUs !== 0) change('trusted', 0, reason);
}
