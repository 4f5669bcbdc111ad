"""The views: the meaning of the tables' rows, for any SQL tool. docs/sql.md describes their columns."""

from __future__ import annotations

from rankline.src.db.schema import IDS_PER_SPACE


def views(dialect: str) -> dict[str, str]:
    """The statements that create the views, by name, in the SQL of ``sqlite`` or ``postgresql``."""
    least, greatest = ("min", "max") if dialect == "sqlite" else ("least", "greatest")
    return {
        "configuration": _CONFIGURATION,
        "solution_step": _SOLUTION_STEP.format(least=least, greatest=greatest),
        "network_summary": _NETWORK_SUMMARY,
        "configuration_latency": _CONFIGURATION_LATENCY,
    }


# CROSS JOIN keeps SQLite from making the ranks the outer loop, with all lines inside it.
_CONFIGURATION = f"""
CREATE VIEW configuration AS
SELECT network.name AS network,
       layer.name AS layer,
       space.method AS method,
       line.shape AS shape,
       CASE WHEN line.free = 1 THEN line.step * rank.r ELSE line.r1 END AS r1,
       CASE WHEN line.free = 2 THEN line.step * rank.r ELSE line.r2 END AS r2,
       CASE WHEN line.free = 3 THEN line.step * rank.r ELSE line.r3 END AS r3,
       CASE WHEN line.free = 4 THEN line.step * rank.r ELSE line.r4 END AS r4,
       line.p0 + line.p1 * rank.r AS params,
       line.m0 + line.m1 * rank.r AS fm,
       line.f0 + line.f1 * rank.r AS flops,
       1.0 - 1.0 * (line.p0 + line.p1 * rank.r) / layer.params AS params_reduction,
       1.0 - 1.0 * (line.f0 + line.f1 * rank.r) / layer.flops AS flops_reduction,
       CASE WHEN rank.r <= line.better THEN 1 ELSE 0 END AS better,
       CASE WHEN rank.r BETWEEN line.use_lo AND line.use_hi THEN 1 ELSE 0 END AS useful
FROM layer
JOIN network ON network.id = layer.network
JOIN layer_space ON layer_space.layer = layer.id
JOIN space ON space.id = layer_space.space
CROSS JOIN line
CROSS JOIN rank
WHERE line.id BETWEEN CAST(space.id AS BIGINT) * {IDS_PER_SPACE} AND CAST(space.id + 1 AS BIGINT) * {IDS_PER_SPACE} - 1
  AND rank.r BETWEEN 1 AND line.cap
"""

# A level is the params in (below, most], and params <= most holds on a line up to k = (most - p0) / p1.
# The hundredths of the params are taken in two parts, since 100 * params may pass 64 bits.
# EXISTS leaves out empty levels: for a comparison with 0, SQLite would count n twice.
_SOLUTION_STEP = f"""
CREATE VIEW solution_step AS
WITH RECURSIVE level(percent) AS (
    SELECT 0 UNION ALL SELECT percent + 1 FROM level WHERE percent < 99
),
step AS MATERIALIZED (
    SELECT network.name AS network,
           layer.name AS layer,
           space.method AS method,
           level.percent AS percent,
           layer.params / 100 * (100 - level.percent) + layer.params % 100 * (100 - level.percent) / 100 AS most,
           layer.params / 100 * (99 - level.percent) + layer.params % 100 * (99 - level.percent) / 100 AS below,
           CAST(space.id AS BIGINT) * {IDS_PER_SPACE} AS first_line,
           CAST(space.id + 1 AS BIGINT) * {IDS_PER_SPACE} - 1 AS last_line
    FROM layer
    JOIN network ON network.id = layer.network
    JOIN layer_space ON layer_space.layer = layer.id
    JOIN space ON space.id = layer_space.space
    CROSS JOIN level
)
SELECT network,
       layer,
       method,
       percent,
       (SELECT CAST(sum({{least}}(use_hi, (most - p0) / p1) - {{greatest}}(use_lo - 1, (below - p0) / p1)) AS BIGINT)
        FROM line
        WHERE id BETWEEN first_line AND last_line
          AND use_lo <= use_hi
          AND p0 + p1 * use_lo <= most
          AND p0 + p1 * use_hi > below) AS n
FROM step
WHERE EXISTS (
    SELECT id
    FROM line
    WHERE id BETWEEN first_line AND last_line
      AND use_lo <= use_hi
      AND {{least}}(use_hi, (most - p0) / p1) > {{greatest}}(use_lo - 1, (below - p0) / p1)
)
"""

_NETWORK_SUMMARY = """
CREATE VIEW network_summary AS
SELECT network.name AS network,
       (SELECT count(*) FROM layer WHERE layer.network = network.id) AS layers,
       (SELECT count(*) FROM layer WHERE layer.network = network.id AND layer.kept_because IS NOT NULL) AS kept_layers,
       network.params AS params,
       network.fm AS fm,
       network.flops AS flops,
       count(owned.space) AS spaces,
       CAST(coalesce(sum(space.n_lines), 0) AS BIGINT) AS lines,
       CAST(coalesce(sum(space.n_total), 0) AS BIGINT) AS configurations,
       CAST(coalesce(sum(space.n_better), 0) AS BIGINT) AS better,
       CAST(coalesce(sum(space.n_useful), 0) AS BIGINT) AS useful,
       CAST(coalesce(sum(owned.layers), 0) AS BIGINT) AS layer_spaces,
       CAST(coalesce(sum(owned.layers * space.n_total), 0) AS BIGINT) AS layer_configurations,
       CAST(coalesce(sum(owned.layers * space.n_better), 0) AS BIGINT) AS layer_better,
       CAST(coalesce(sum(owned.layers * space.n_useful), 0) AS BIGINT) AS layer_useful
FROM network
LEFT JOIN (
    SELECT layer.network AS network, layer_space.space AS space, count(*) AS layers
    FROM layer
    JOIN layer_space ON layer_space.layer = layer.id
    GROUP BY layer.network, layer_space.space
) AS owned ON owned.network = network.id
LEFT JOIN space ON space.id = owned.space
GROUP BY network.id, network.name, network.params, network.fm, network.flops
"""

# On a line, a latency is start + slope * rank + rise * number of tiles. DISTINCT, which drops no row, makes SQLite
# compute these for each line, not for each configuration.
_CONFIGURATION_LATENCY = f"""
CREATE VIEW configuration_latency AS
SELECT device,
       network,
       layer,
       method,
       shape,
       CASE WHEN free = 1 THEN step * rank.r ELSE r1 END AS r1,
       CASE WHEN free = 2 THEN step * rank.r ELSE r2 END AS r2,
       CASE WHEN free = 3 THEN step * rank.r ELSE r3 END AS r3,
       CASE WHEN free = 4 THEN step * rank.r ELSE r4 END AS r4,
       p0 + p1 * rank.r AS params,
       f0 + f1 * rank.r AS flops,
       start + slope * step * rank.r + rise * ((step * rank.r + tile - 1) / tile) AS latency_ps,
       1.0 - 1.0 * (start + slope * step * rank.r + rise * ((step * rank.r + tile - 1) / tile)) / nullif(original, 0)
           AS latency_reduction
FROM (
    SELECT DISTINCT device, network, layer, method, tile, original,
           shape, r1, r2, r3, r4, free, step, cap, p0, p1, f0, f1,
           constant
           + per_r1 * a1 + per_r2 * a2 + per_r3 * a3 + per_r4 * a4
           + per_t1 * b1 + per_t2 * b2 + per_t3 * b3 + per_t4 * b4
           + per_r1_r2 * a1 * a2 + per_r2_r3 * a2 * a3 + per_r3_r4 * a3 * a4
           + per_r1_t2 * a1 * b2 + per_r2_t3 * a2 * b3 + per_r3_t4 * a3 * b4
           + per_t1_t2 * b1 * b2 + per_t2_t3 * b2 * b3 + per_t3_t4 * b3 * b4 AS start,
           CASE free
               WHEN 1 THEN per_r1 + per_r1_r2 * a2 + per_r1_t2 * b2
               WHEN 2 THEN per_r2 + per_r1_r2 * a1 + per_r2_r3 * a3 + per_r2_t3 * b3
               WHEN 3 THEN per_r3 + per_r2_r3 * a2 + per_r3_r4 * a4 + per_r3_t4 * b4
               WHEN 4 THEN per_r4 + per_r3_r4 * a3
           END AS slope,
           CASE free
               WHEN 1 THEN per_t1 + per_t1_t2 * b2
               WHEN 2 THEN per_t2 + per_r1_t2 * a1 + per_t1_t2 * b1 + per_t2_t3 * b3
               WHEN 3 THEN per_t3 + per_r2_t3 * a2 + per_t2_t3 * b2 + per_t3_t4 * b4
               WHEN 4 THEN per_t4 + per_r3_t4 * a3 + per_t3_t4 * b3
           END AS rise
    FROM (
        SELECT filled.*,
               (a1 + tile - 1) / tile AS b1,
               (a2 + tile - 1) / tile AS b2,
               (a3 + tile - 1) / tile AS b3,
               (a4 + tile - 1) / tile AS b4
        FROM (
            SELECT device.name AS device,
                   device.tile AS tile,
                   network.name AS network,
                   layer.name AS layer,
                   space.method AS method,
                   line.shape AS shape,
                   line.r1, line.r2, line.r3, line.r4, free, step, cap, p0, p1, f0, f1,
                   coalesce(r1, 0) AS a1,
                   coalesce(r2, 0) AS a2,
                   coalesce(r3, 0) AS a3,
                   coalesce(r4, 0) AS a4,
                   original,
                   constant,
                   per_r1, per_r2, per_r3, per_r4,
                   per_t1, per_t2, per_t3, per_t4,
                   per_r1_r2, per_r2_r3, per_r3_r4,
                   per_r1_t2, per_r2_t3, per_r3_t4,
                   per_t1_t2, per_t2_t3, per_t3_t4
            FROM layer
            JOIN network ON network.id = layer.network
            JOIN layer_space ON layer_space.layer = layer.id
            JOIN space ON space.id = layer_space.space
            CROSS JOIN device
            CROSS JOIN line
            CROSS JOIN latency
            WHERE line.id >= CAST(space.id AS BIGINT) * {IDS_PER_SPACE}
              AND line.id < CAST(space.id + 1 AS BIGINT) * {IDS_PER_SPACE}
              AND latency.device = device.id
              AND latency.space = space.id
              AND latency.shape = coalesce(line.shape, '')
        ) AS filled
    ) AS tiled
) AS timed
CROSS JOIN rank
WHERE rank.r BETWEEN 1 AND cap
"""
