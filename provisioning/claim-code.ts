import { createHash, randomBytes } from 'node:crypto';
import { base32 } from './base32.ts';
import { claimCodeLetters } from './contract.ts';

/** 100 random bits. */
export const makeClaimCode = (): string => base32(randomBytes(13)).slice(0, claimCodeLetters);

/** What is stored of a code: its bits can't be searched, so a plain hash is enough. */
export const hashClaimCode = (code: string): string => createHash('sha256').update(code).digest('hex');
