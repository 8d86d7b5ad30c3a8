import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ClockQuality } from '../../lake/model/manifest.ts';
import {
  type ClockChange,
  type ClockEvidence,
  createTimeKeeper,
  type TimeKeeperSettings,
} from './time-keeper.ts';

const second = 1_000_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const year = 365 * day;
/** Firn was built, and today. */
const builtUs = Date.UTC(2026, 10, 1) * 1000;
const todayUs = Date.UTC(2027, 5, 15, 12) * 1000;

/** A machine whose wall clock is wrong by `wrongUs`; each batch is an hour-glass: what was stamped, and when really. */
function startMachine(wrongUs: number, settings: Partial<TimeKeeperSettings> = {}, bootedUs = 20 * second) {
  const machine = { trueUs: todayUs, wrongUs, monoUs: bootedUs };
  const changes: ClockChange[] = [];
  let stretch = 0;
  const batches: {
    stampUs: number;
    trueUs: number;
    clock: ClockQuality;
    offsetUs: number;
    stretch: number;
  }[] = [];
  const keeper = createTimeKeeper(
    { trust: 'auto', holdUs: 10 * minute, floorUs: builtUs, ...settings },
    (change) => {
      changes.push(change);
      // What the log does (Wal.setClock).
      for (const batch of batches)
        if (batch.clock === 'untrusted' && change.correctUs !== undefined)
          Object.assign(batch, { clock: 'corrected', offsetUs: change.correctUs });
      stretch++;
    },
  );
  const reading = () => ({ wallUs: machine.trueUs + machine.wrongUs, monoUs: machine.monoUs });
  return {
    keeper,
    changes,
    batches,
    reading,
    pass: (us: number): void => {
      machine.trueUs += us;
      machine.monoUs += us;
    },
    /** Somebody sets the wall clock. */
    set: (wrong: number): void => {
      machine.wrongUs = wrong;
    },
    sleep: (us: number): void => {
      machine.trueUs += us;
    },
    receive: (): void => {
      const stampUs = keeper.nowUs(reading());
      batches.push({ stampUs, trueUs: machine.trueUs, clock: keeper.state.clock, offsetUs: 0, stretch });
    },
    look: (evidence: ClockEvidence = {}): void => keeper.look(reading(), evidence),
    /** The time daemon sets the clock and leaves its mark. */
    synchronize: (): void => {
      machine.wrongUs = 0;
      keeper.look(reading(), { synchronizedUs: machine.trueUs });
    },
    learn: (wrong = 0): void => keeper.learn(machine.trueUs + wrong, reading(), 'the store'),
    rtc: (): ClockEvidence => ({ rtcUs: machine.trueUs }),
    /** How wrong each batch still is, in whole seconds. */
    errors: (): number[] =>
      batches.map(({ stampUs, offsetUs, trueUs }) => Math.round((stampUs + offsetUs - trueUs) / second)),
    qualities: (): ClockQuality[] => batches.map(({ clock }) => clock),
    hold: (): number => keeper.holdSinceMonoUs(reading()),
  };
}

test('a clock with a battery is trusted at once', () => {
  const machine = startMachine(0);
  machine.look(machine.rtc());
  machine.receive();
  expect(machine.qualities()).toEqual(['trusted']);
  expect(machine.hold()).toBe(Number.POSITIVE_INFINITY);
  expect(machine.changes).toHaveLength(1);
});

test('a battery that is empty is not: its time is before the floor', () => {
  const machine = startMachine(-27 * year);
  machine.look({ rtcUs: machine.reading().wallUs });
  machine.look({ kept: true });
  machine.receive();
  expect(machine.qualities()).toEqual(['untrusted']);
});

test('the newest time on record is a floor too', () => {
  const machine = startMachine(-30 * day);
  machine.keeper.resume({ newestUs: todayUs - day });
  machine.look({ rtcUs: machine.reading().wallUs });
  expect(machine.keeper.state.clock).toBe('untrusted');
});

test.each([-50 * year, -3 * 30 * day, 10 * year])(
  'NTP comes late to a clock that is wrong by %d µs: what was received before is corrected',
  (wrong) => {
    const machine = startMachine(wrong);
    for (let index = 0; index < 5; index++) {
      machine.look();
      machine.receive();
      expect(machine.hold()).toBe(Number.NEGATIVE_INFINITY);
      machine.pass(minute);
    }
    machine.synchronize();
    machine.receive();
    expect(machine.errors()).toEqual([0, 0, 0, 0, 0, 0]);
    expect(machine.qualities()).toEqual([...Array(5).fill('corrected'), 'trusted']);
    expect(machine.hold()).toBe(Number.POSITIVE_INFINITY);
  },
);

test('the store says what time it is, twice: the wall clock stays wrong and rows are right', () => {
  const machine = startMachine(-2 * year);
  machine.receive();
  machine.learn();
  expect(machine.keeper.state.clock).toBe('untrusted'); // once may be a captive portal
  machine.pass(10 * second);
  machine.learn();
  machine.pass(minute);
  machine.receive();
  expect(machine.errors()).toEqual([0, 0]);
  expect(machine.qualities()).toEqual(['corrected', 'corrected']);
  // Then NTP sets the wall clock too.
  machine.synchronize();
  machine.receive();
  expect(machine.errors()).toEqual([0, 0, 0]);
  expect(machine.qualities()[2]).toBe('trusted');
});

test('one wrong answer changes nothing, and a time daemon outweighs another machine', () => {
  const machine = startMachine(0);
  machine.synchronize();
  for (let index = 0; index < 3; index++) machine.learn(3 * hour);
  machine.receive();
  const other = startMachine(0);
  other.look(other.rtc());
  other.learn(year);
  other.learn(-year);
  other.learn();
  other.receive();
  for (const { qualities, errors } of [machine, other])
    expect([qualities(), errors()]).toEqual([['trusted'], [0]]);
});

test.each([10 * year, -10 * year, 2 * hour, -2 * hour])(
  'a trusted clock that jumps by %d µs: time runs on without it, and follows again when it is put right',
  (jump) => {
    for (const start of ['rtc', 'synchronize', 'learn'] as const) {
      const machine = startMachine(0);
      if (start === 'rtc') machine.look(machine.rtc());
      else machine[start]();
      machine.receive();
      machine.pass(hour);
      machine.set(jump);
      machine.receive();
      machine.look(machine.rtc());
      machine.pass(minute);
      machine.receive();
      expect(machine.errors()).toEqual([0, 0, 0]);
      expect(machine.qualities()).toEqual(['trusted', 'corrected', 'corrected']);
      machine.set(0);
      machine.look(machine.rtc());
      machine.receive();
      expect(machine.errors()).toEqual([0, 0, 0, 0]);
      expect(machine.qualities()[3]).toBe('trusted');
    }
  },
);

test('a machine that slept is believed, by its battery or its platform', () => {
  for (const evidence of ['rtc', 'kept'] as const) {
    const machine = startMachine(0);
    const look = () => machine.look(evidence === 'rtc' ? machine.rtc() : { kept: true });
    look();
    machine.sleep(8 * hour);
    look();
    machine.receive();
    expect([machine.errors(), machine.qualities()]).toEqual([[0], ['trusted']]);
  }
});

test('a step of a trusted clock by NTP is followed', () => {
  const machine = startMachine(40 * minute);
  machine.look({ rtcUs: machine.reading().wallUs }); // the battery is as wrong
  machine.receive();
  machine.synchronize();
  machine.receive();
  expect(machine.errors()).toEqual([2400, 0]); // what was trusted is not known to be wrong
  expect(machine.qualities()).toEqual(['trusted', 'trusted']);
});

test('a person sets a clock that nobody believes', () => {
  const machine = startMachine(-50 * year);
  machine.receive();
  machine.pass(minute);
  machine.set(3 * second);
  machine.receive();
  expect(machine.errors()).toEqual([3, 3]);
  expect(machine.qualities()).toEqual(['corrected', 'corrected']);
});

test('jumps of a clock that nobody believes, to times that nobody can mean, change nothing', () => {
  const machine = startMachine(-50 * year);
  machine.receive();
  for (const wrong of [-40 * year, 30 * year, -50 * year]) {
    machine.pass(minute);
    machine.set(wrong);
    machine.receive();
  }
  machine.pass(minute);
  machine.synchronize();
  expect(machine.errors()).toEqual([0, 0, 0, 0]);
});

test('the truth does not come: after the hold rows are sealed as they are, and later ones at once', () => {
  const machine = startMachine(-50 * year);
  machine.receive();
  machine.pass(9 * minute);
  expect(machine.hold()).toBe(Number.NEGATIVE_INFINITY);
  machine.pass(2 * minute);
  machine.receive();
  expect(machine.hold()).toBe(Number.POSITIVE_INFINITY);
  expect(machine.qualities()).toEqual(['untrusted', 'untrusted']);
});

test('reboots without a battery: rows of this boot are corrected, those of a process before as well', () => {
  // Each boot begins in 1970 again. The second process of the last boot finds rows of the first in the log.
  for (let boot = 0; boot < 3; boot++) {
    const machine = startMachine(-50 * year);
    machine.receive();
    expect(machine.qualities()).toEqual(['untrusted']);
  }
  const first = startMachine(-50 * year);
  first.receive();
  const { wallUs, monoUs } = first.reading();
  // NTP comes while no process runs.
  const second_ = startMachine(0, {}, monoUs + hour);
  second_.pass(0);
  second_.batches.push(...first.batches.map((batch) => ({ ...batch, trueUs: todayUs - hour })));
  second_.keeper.resume({ untrustedBaseUs: wallUs - monoUs });
  second_.synchronize();
  expect(second_.errors()).toEqual([0]);
  expect(second_.qualities()).toEqual(['corrected']);
});

test('the mark of a time daemon from before a jump does not speak for the clock after it', () => {
  const machine = startMachine(0);
  const mark = machine.reading().wallUs;
  machine.look({ synchronizedUs: mark });
  machine.pass(minute);
  for (const jump of [30 * minute, -30 * minute]) {
    machine.set(jump);
    machine.look({ synchronizedUs: mark });
    machine.receive();
  }
  expect(machine.errors()).toEqual([0, 0]);
  expect(machine.qualities()).toEqual(['corrected', 'corrected']);
});

test('clock.trust always: whatever the wall clock does', () => {
  const machine = startMachine(-50 * year, { trust: 'always' });
  machine.receive();
  machine.set(10 * year);
  machine.receive();
  expect(machine.qualities()).toEqual(['trusted', 'trusted']);
  expect(machine.errors()).toEqual([-50 * 365 * 86_400, 10 * 365 * 86_400]);
});

const faults = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('set' as const),
      us: fc.integer({ min: -10, max: 10 }).map((n) => n * year),
    }),
    fc.record({
      kind: fc.constant('pass' as const),
      us: fc.integer({ min: 1, max: 600 }).map((n) => n * second),
    }),
    fc.constant({ kind: 'receive' as const }),
    fc.constant({ kind: 'look' as const }),
  ),
  { maxLength: 40 },
);

test('whatever happens to a clock that was right once: the gateway keeps the right time', () => {
  fc.assert(
    fc.property(faults, (steps) => {
      const machine = startMachine(0);
      machine.synchronize();
      for (const step of steps) {
        if (step.kind === 'set') machine.set(step.us);
        else if (step.kind === 'pass') machine.pass(step.us);
        else if (step.kind === 'receive') machine.receive();
        else machine.look(machine.rtc());
      }
      expect(machine.errors().every((error) => error === 0)).toBe(true);
      expect(machine.qualities()).not.toContain('untrusted');
    }),
  );
});
