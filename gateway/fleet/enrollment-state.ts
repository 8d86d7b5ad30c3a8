import { renderUnicodeCompact } from 'uqr';
import { z } from 'zod';
import { adoptionUrl, printDeviceCode } from '../../provisioning/device-code.ts';

// How far a device is on its way to become a gateway of a cloud, for the person who stands before it.

/** It goes to a terminal. */
const text = z
  .string()
  .max(2000)
  .transform((each) => each.replaceAll(/\p{Cc}/gu, ' '));

export const enrollmentState = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('waiting'),
    /** The cloud's. */
    url: text,
    /** Its code, 16 letters; absent: it comes with a claim. */
    code: z.string().length(16).optional(),
    /** Whether the cloud has answered as it should, the last time. */
    isReached: z.boolean(),
    /** What is in the way. */
    problem: text.optional(),
    /** Why its claim did not count. */
    claimRefused: text.optional(),
  }),
  z.object({ kind: z.literal('enrolled'), url: text, tenant: text, site: text, gateway: text }),
]);
export type EnrollmentState = z.infer<typeof enrollmentState>;
export type WaitingState = Extract<EnrollmentState, { kind: 'waiting' }>;

/** In a line for each thing that is so. */
export function waitingLines({ url, code, isReached, problem, claimRefused }: WaitingState): string[] {
  return [
    ...(claimRefused === undefined ? [] : [`Its claim was refused: ${claimRefused}`]),
    ...(code === undefined ? ['It enrolls with its claim.'] : []),
    problem ?? `The cloud at ${url} ${isReached ? 'waits for its adoption' : 'was not asked yet'}.`,
  ];
}

export const adoptCommand = (code: string): string =>
  `firn gateways adopt ${printDeviceCode(code)} --tenant TENANT --site SITE`;

/** For a screen of 80 columns and 25 lines. */
export function printEnrollment(state: EnrollmentState): string {
  if (state.kind === 'enrolled')
    return `Firn gateway ${state.gateway} of tenant ${state.tenant}, site ${state.site}, with the cloud at ${state.url}\n`;
  const { code, url } = state;
  const lines = waitingLines(state).map((line) => `  ${line}\n`);
  if (code === undefined) return `This device is no gateway yet.\n${lines.join('')}`;
  const picture = renderUnicodeCompact(adoptionUrl(url, code), { ecc: 'L', border: 1 });
  return `${picture}
This device belongs to nobody yet. Its code:  ${printDeviceCode(code)}
Scan the picture with a phone, or give the command:
  ${adoptCommand(code)}
${lines.join('')}`;
}
