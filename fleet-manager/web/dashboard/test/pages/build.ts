import { join } from 'node:path';

import { built } from '../../../test/build';

export default built(join(import.meta.dirname, '../../vite.config.ts'), 'pages');
