"""Analysis by synthesis as an environment for Gymnasium, which `import air3d` registers as "air3d/TableTop-v0".

    gymnasium.make("air3d/TableTop-v0")

Registering adds a name to Gymnasium's table; the environment's own modules and a renderer are loaded by `make`.
"""

import gymnasium

TABLETOP = "air3d/TableTop-v0"
MAX_EPISODE_STEPS = 50

if TABLETOP not in gymnasium.registry:
    gymnasium.register(
        TABLETOP,
        entry_point="air3d.environments.single:TabletopEnv",
        vector_entry_point="air3d.environments.vector:TabletopVectorEnv",
        max_episode_steps=MAX_EPISODE_STEPS,
    )
