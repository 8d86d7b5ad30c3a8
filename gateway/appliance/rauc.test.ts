import { expect, test } from 'vitest';
import { raucFailure } from './rauc.ts';

test('what RAUC prints of a bundle that it refuses becomes what to do next', () => {
  const hintOf = (text: string): string | undefined => raucFailure('install', text).hint;
  expect(
    hintOf(
      '  99% Updating slots failed.\nLastError: Failed to copy data: Error reading from file: Input/output error',
    ),
  ).toContain('not whole');
  expect(hintOf('Invalid bundle format: Signature size (1362863562805331700) exceeds bundle size')).toContain(
    'not whole',
  );
  expect(
    hintOf('signature verification failed: Verify error: unable to get local issuer certificate'),
  ).toContain('not signed by');
  expect(hintOf('No space left on device')).toBe('the version that runs goes on');
});
