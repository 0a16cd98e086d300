import { join } from 'node:path';

import { built } from '../build';

export default built(join(import.meta.dirname, '../../vite.config.ts'), 'site');
