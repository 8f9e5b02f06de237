"""Analysis by synthesis as an environment for Gymnasium. Importing this package registers "air3d/TableTop-v0".

Gymnasium finds environments of other packages by importing the module that registers them, and in no other way (it has
had no plug-ins since 1.0). So this one import does something: it adds a name to a table. No renderer is loaded before
`make`:

    gymnasium.make("air3d.environments:air3d/TableTop-v0")
"""

try:
    import gymnasium
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "air3d.environments needs the package 'gymnasium': pip install 'air3d[gym]'", name="gymnasium"
    ) from None

TABLE_TOP = "air3d/TableTop-v0"
MAX_EPISODE_STEPS = 50

if TABLE_TOP not in gymnasium.registry:
    gymnasium.register(
        TABLE_TOP,
        entry_point="air3d.environments.single:TableTopEnv",
        vector_entry_point="air3d.environments.vector:TableTopVectorEnv",
        max_episode_steps=MAX_EPISODE_STEPS,
    )
