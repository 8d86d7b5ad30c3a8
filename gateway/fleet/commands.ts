import { messageOf } from '../../lake/base/errors.ts';
import {
  type CommandName,
  type CommandResult,
  commandNames,
  outputMax,
} from '../../provisioning/contract.ts';

/** What a gateway does on command; each gives what is to be said of it. */
export type CommandTarget = Readonly<Record<CommandName, () => Promise<string>>>;

/** Carries a command out. One that this version does not know is a failure, not an error. */
export async function runOrder(target: CommandTarget, id: string, command: string): Promise<CommandResult> {
  const name = commandNames.find((each) => each === command);
  if (name === undefined)
    return { id, ok: false, output: `this version does not know the command ${command}` };
  try {
    return { id, ok: true, output: (await target[name]()).slice(-outputMax) };
  } catch (error) {
    return { id, ok: false, output: messageOf(error).slice(0, outputMax) };
  }
}
