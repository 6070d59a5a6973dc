"""Licences of the training sets, as found at their sources; model cards and ``--licences open`` go by them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Licence:
    """Terms of one set; ``restricted`` where non-commercial, for research, or not stated; ``*``: general knowledge."""

    text: str
    restricted: bool


LICENCES = {
    "ADE20K_sample": Licence("ADE20K terms: research, non-commercial", restricted=True),
    "BSDS500": Licence("BSDS terms: non-commercial research and education", restricted=True),
    "BuildingFacade": Licence("CC BY 4.0", restricted=False),
    "CCP": Licence("Apache-2.0 (repository)", restricted=False),
    "COCO_instances": Licence("annotations CC BY 4.0; each picture its own CC licence, some NC", restricted=True),
    "CWFID": Licence("non-commercial research", restricted=True),
    "CamVid": Licence("CC BY-NC 4.0 (repository); research set", restricted=True),
    "CarParts": Licence("none stated", restricted=True),
    "CrackForest": Licence("non-commercial research", restricted=True),
    "ECSSD": Licence("none stated; research set", restricted=True),
    "FeralCats": Licence("MIT / public domain", restricted=False),
    "LabelMeFacade": Licence("non-commercial and research", restricted=True),
    "WeizmannHorses": Licence("none stated; research use", restricted=True),
    "blood_leukocyte_lisc": Licence("none stated (LISC)", restricted=True),
    "btcv_ct_abdomen": Licence("none stated; BTCV needs registration", restricted=True),
    "covid_cxr": Licence("CC BY, CC BY-SA or blank per image; repository CC BY 4.0", restricted=False),
    "ct_head_hemorrhage_bhsd": Licence("MIT (README)", restricted=False),
    "ct_kidney_kits19": Licence("KiTS data CC BY-NC-SA 4.0*", restricted=True),
    "dental_panoramic": Licence("Apache-2.0 (repository)", restricted=False),
    "derm_ham10000": Licence("CC BY-NC 4.0", restricted=True),
    "em_membrane_isbi2012": Licence("repository MIT; ISBI 2012 data for research*", restricted=True),
    "endo_edd2020": Licence("CC BY 4.0", restricted=False),
    "endo_polyp_kvasir": Licence("none stated; Kvasir-SEG: research and education*", restricted=True),
    "fundus_disc_cup_smdg": Licence("'other' (SMDG-19, mixed sources)", restricted=True),
    "fundus_vessels": Licence("none stated; DRIVE research use, CHASE_DB1 CC BY 4.0*", restricted=True),
    "histo_glas_glands": Licence("none stated; GlaS research*", restricted=True),
    "histo_tnbc_nuclei": Licence("none stated; CC BY 4.0 on Zenodo*", restricted=False),
    "mr_abdomen_uwm_gi": Licence("(c) original authors (Kaggle)", restricted=True),
    "mr_brats2023_flair": Licence("none stated; BraTS 2023 research use with registration*", restricted=True),
    "mr_heart_hvsmr2": Licence("CC BY 4.0", restricted=False),
    "mr_spine_spider": Licence("CC BY 4.0", restricted=False),
    "nuclei_dsb2018": Licence("CC0 1.0", restricted=False),
    "sammed2d_demo": Licence("Apache-2.0 (repository)", restricted=False),
    "us_breast_busbra": Licence("none stated; CC BY 4.0 on Zenodo*", restricted=False),
    "us_fetal_head": Licence("none stated; CC BY 4.0 on Zenodo*", restricted=False),
    # volumes, under the name that the set of their slices has
    "acdc_cardiac_mr": Licence(
        "repository code MIT; ACDC terms: research with citation (CC BY-NC-SA 4.0 on its site)*", restricted=True
    ),
    "ibsi_lung_ct": Licence("CC BY-NC 3.0", restricted=True),
    "lung1_chest_ct": Licence("CC BY-NC 3.0 (TCIA NSCLC-Radiomics)", restricted=True),
    "miccai2012_brain": Licence(
        "CC BY-NC: scans from OASIS, labels by Neuromorphometrics, Inc. under academic subscription", restricted=True
    ),
    "msd_hippocampus": Licence(
        "no licence file in the repository; Medical Segmentation Decathlon: CC BY-SA 4.0*", restricted=False
    ),
    "openms_flair": Licence("CC BY (LICENSE.txt)", restricted=False),
    "pyradiomics": Licence("BSD-3-Clause (repository)", restricted=False),
    "sct_spinal_cord": Licence("MIT (repository)", restricted=False),
    "sts_sarcoma_ct": Licence("CC BY 3.0 (TCIA Soft-tissue-Sarcoma)", restricted=False),
    "sts_sarcoma_mr": Licence("CC BY 3.0 (TCIA Soft-tissue-Sarcoma)", restricted=False),
    "sts_sarcoma_pet": Licence("CC BY 3.0 (TCIA Soft-tissue-Sarcoma)", restricted=False),
}
