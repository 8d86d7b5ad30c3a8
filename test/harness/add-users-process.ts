import { administerUsers } from '../../gateway/security/administer-users.ts';

// Adds users until it is killed: node add-users-process.ts FOLDER PREFIX

const [folder = '', prefix = ''] = process.argv.slice(2);
using users = administerUsers(folder, 'test');
for (let count = 0; ; count++) {
  await users.add(`${prefix}-${count}`, 'a password', ['read']);
  if (count === 0) process.stdout.write('adding\n');
}
