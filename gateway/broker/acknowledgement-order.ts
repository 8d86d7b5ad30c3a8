/** Goes on when what it waits for is done, and all that were asked for before have gone on; at once if that is now. */
export type AcknowledgementOrder = (waitFor: Promise<void> | undefined, goOn: () => void) => void;

/** Acknowledgements keep the order of the publishes [MQTT-4.6.0-2], whatever each of them waits for. */
export function createAcknowledgementOrder(): AcknowledgementOrder {
  let last: Promise<void> | undefined;
  return (waitFor, goOn) => {
    if (waitFor === undefined && last === undefined) {
      goOn();
      return;
    }
    const mine: Promise<void> = Promise.all([last, waitFor]).then(() => {
      if (last === mine) last = undefined;
      goOn();
    });
    last = mine;
  };
}
